"""Our Dockerfile's interpreter: it does what Docker does with these steps, and refuses what it does not know."""

import subprocess
from pathlib import Path

import pytest

from builds.dockerfile import DockerfileError, Image, context, read_steps

ROOT = Path(__file__).parents[2]


@pytest.fixture
def image(tmp_path: Path) -> Image:
    """An image without its base's Python, which takes seconds to make and no step here needs."""
    image = Image(tmp_path / "image")
    image.task_root.mkdir(parents=True)
    image.variables = {"PATH": "/usr/bin:/bin", "LAMBDA_TASK_ROOT": str(image.task_root)}
    return image


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "context"
    (folder / "package/inner").mkdir(parents=True)
    (folder / "package/inner/module.py").write_text("x = 1\n")
    (folder / "lock.txt").write_text("numpy\n")
    return folder


def run(image: Image, files: Path, *lines: str) -> None:
    for step in read_steps("\n".join(["FROM base:1", *lines])):
        image.take(step, files)


def test_a_file_goes_into_a_folder_and_of_a_folder_what_it_has(image: Image, files: Path) -> None:
    run(image, files, "COPY lock.txt ${LAMBDA_TASK_ROOT}/", "COPY package $LAMBDA_TASK_ROOT/there/")
    found = {str(p.relative_to(image.task_root)) for p in image.task_root.rglob("*") if p.is_file()}
    assert found == {"lock.txt", "there/inner/module.py"}


def test_steps_run_in_the_task_root_with_the_images_variables_alone(
    image: Image, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FANWISE_OF_THE_CALLER", "1")
    run(
        image,
        files,
        "ENV COLOUR=blue",
        "# a comment between",
        "RUN --mount=type=cache,target=/root/.cache/uv \\",
        '    echo "$COLOUR $LAMBDA_TASK_ROOT $(pwd) $FANWISE_OF_THE_CALLER" > said \\',
        "    && echo more >> said",
        'CMD ["module.handler"]',
    )
    root = image.task_root
    assert (root / "said").read_text().splitlines() == [f"blue {root} {root} ", "more"]
    assert image.command == ["module.handler"]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("RUN echo no >&2; false", "ended with 1\nno"),
        ("RUN --mount=type=secret,id=x true", "ended with"),
        ("COPY absent ${LAMBDA_TASK_ROOT}/", "absent is not there, or .dockerignore leaves it out"),
        ("COPY lock.txt /opt/", "/opt/ is no folder below LAMBDA_TASK_ROOT"),
        ("COPY lock.txt ${LAMBDA_TASK_ROOT}", "with a slash at its end"),
        ("ENV COLOUR blue", "'COLOUR blue' is not NAME=VALUE"),
        ("USER nobody", "is not known here"),
    ],
)
def test_what_fails_or_is_not_known_is_told_with_its_line(
    image: Image, files: Path, line: str, why: str
) -> None:
    with pytest.raises(DockerfileError) as raised:
        run(image, files, "", line)
    assert str(raised.value).startswith(f"line 3: {line.split(maxsplit=1)[0]}: ")
    assert why in str(raised.value)


@pytest.mark.parametrize("text", ["", "RUN true\n", "FROM a\nFROM b\n", "RUN true\nFROM a\n"])
def test_one_base_comes_first(text: str) -> None:
    with pytest.raises(DockerfileError, match="has to begin with its one FROM"):
        read_steps(text)


def test_dockerignore_lets_in_what_its_last_rule_says(tmp_path: Path) -> None:
    root = tmp_path / "root"
    for name in ("a/keep.py", "a/__pycache__/keep.pyc", "a/b/deep.txt", "secret", "ab/c"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    (root / ".dockerignore").write_text("# nothing but\n*\n!a\n**/__pycache__\na/b/*.txt\n")
    subprocess.run(["git", "init", "--quiet", root], check=True)
    made = context(root, tmp_path / "context")
    assert {str(p.relative_to(made)) for p in made.rglob("*") if p.is_file()} == {"a/keep.py"}


def test_the_images_dockerfile_is_read_and_its_context_has_what_it_copies(tmp_path: Path) -> None:
    steps = read_steps((ROOT / "docker/predict_batch/Dockerfile").read_text())
    made = context(ROOT, tmp_path)
    copied = [word for step in steps if step.instruction == "COPY" for word in step.words.split()[:-1]]
    assert copied
    assert [source for source in copied if not (made / source).exists()] == []
    assert not [
        path for path in made.rglob("*") if "__pycache__" in path.parts or path.name == "template.yaml"
    ]
