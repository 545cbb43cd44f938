"""What the operations of a model say before anything of it is loaded. Models are saved in this process."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fanwise.errors import BundleError
from fanwise.model.runtime import import_runtime

Saved = Callable[..., Path]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    """Saves a function of `x` with what it uses, and says where."""
    import_runtime("tensorflow")
    import tensorflow as tf

    def save(function: Callable[[Any], dict[str, Any]], **uses: Any) -> Path:
        folder: Path = tmp_path_factory.mktemp("operations") / "saved_model"
        module = tf.Module()
        for name, value in uses.items():
            setattr(module, name, value)
        module.f = tf.function(function, input_signature=[tf.TensorSpec((None, 2), tf.float32, "x")])
        tf.saved_model.save(module, str(folder), signatures=module.f)
        return folder

    return save


def reads(x: Any) -> dict[str, Any]:
    import tensorflow as tf

    return {"y": tf.strings.join([tf.as_string(x[:, 0]), tf.io.read_file("/etc/hostname")])}


def writes_in_a_loop(x: Any) -> dict[str, Any]:
    import tensorflow as tf

    def body(i: Any) -> Any:
        with tf.control_dependencies([tf.io.write_file("leak", "x")]):
            return i + 1

    return {"y": x + tf.cast(tf.while_loop(lambda i: i < 2, body, [0])[0], tf.float32)}


def reads_in_a_branch(x: Any) -> dict[str, Any]:
    import tensorflow as tf

    text = tf.cond(tf.reduce_sum(x) > 1e9, lambda: tf.io.read_file("/etc/hostname"), lambda: "")
    return {"y": tf.strings.join([tf.as_string(x[:, 0]), text])}


def matches_for_each_row(x: Any) -> dict[str, Any]:
    import tensorflow as tf

    found = tf.map_fn(lambda _: tf.size(tf.io.matching_files("/tmp/*")), x, fn_output_signature=tf.int32)  # noqa: S108
    return {"y": found}


def reads_a_dataset(x: Any) -> dict[str, Any]:
    import tensorflow as tf

    lines = tf.data.TextLineDataset("/etc/hostname").reduce(0, lambda count, _: count + 1)
    return {"y": x + tf.cast(lines, tf.float32)}


def runs_python(x: Any) -> dict[str, Any]:
    import tensorflow as tf

    return {"y": tf.ensure_shape(tf.numpy_function(lambda rows: rows * 2, [x], tf.float32), (None, 2))}


def runs_eager_python(x: Any) -> dict[str, Any]:
    import tensorflow as tf

    return {"y": tf.ensure_shape(tf.py_function(lambda rows: rows * 2, [x], tf.float32), (None, 2))}


def prints_to_a_file(x: Any) -> dict[str, Any]:
    import tensorflow as tf

    with tf.control_dependencies([tf.print("x", output_stream="file:///tmp/leak")]):
        return {"y": x * 2}


@pytest.mark.parametrize(
    ("function", "op"),
    [
        (reads, "ReadFile"),
        (writes_in_a_loop, "WriteFile"),
        (reads_in_a_branch, "ReadFile"),
        (matches_for_each_row, "MatchingFiles"),
        (reads_a_dataset, "TextLineDataset"),
        (runs_python, "PyFunc"),
        (runs_eager_python, "EagerPyFunc"),
        (prints_to_a_file, "WriteFile"),
    ],
)
def test_what_reaches_outside_is_refused_wherever_it_stands(saved: Saved, function: Any, op: str) -> None:
    from fanwise_cli.operations.refusing import check_loadable
    from fanwise_cli.operations.saved_model import reached

    found = reached(saved(function), "serving_default")
    with pytest.raises(BundleError, match=rf"its operation {op} \(.+\) reads or writes files") as refused:
        check_loadable(found)
    assert "\n" not in str(refused.value)


def test_restoring_saving_and_tables_of_assets_are_no_part_of_what_is_served(
    saved: Saved, tmp_path: Path
) -> None:
    import tensorflow as tf

    from fanwise_cli.operations.refusing import check_loadable
    from fanwise_cli.operations.saved_model import reached

    words = tmp_path / "words.txt"
    words.write_text("red\nblue\n")
    table = tf.lookup.StaticHashTable(
        tf.lookup.TextFileInitializer(str(words), tf.string, -2, tf.int64, -1), -1
    )
    weight = tf.Variable(2.0)

    def looked_up(x: Any) -> dict[str, Any]:
        return {"y": x * weight, "n": table.lookup(tf.as_string(x[:, 0]))}

    found = reached(saved(looked_up, table=table, weight=weight), "serving_default")
    check_loadable(found)
    assert "InitializeTableFromTextFileV2" in {one.op for one in found.at_load}
    assert "RestoreV2" in {one.op for one in found.at_load}
    assert not found.writing()


def test_what_runs_when_a_model_is_loaded_is_looked_at_too(saved: Saved) -> None:
    from tensorflow.core.protobuf import saved_model_pb2

    from fanwise_cli.operations.saved_model import reached

    folder = saved(lambda x: {"y": x * 2})
    path = folder / "saved_model.pb"
    model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    graph = model.meta_graphs[0]
    graph.graph_def.node.add(name="leak", op="WriteFile")
    graph.signature_def["__saved_model_init_op"].outputs["__saved_model_init_op"].name = "leak"
    path.write_bytes(model.SerializeToString())
    found = reached(folder, "serving_default")
    assert str(found.outside()) == "WriteFile (leak)"


@pytest.mark.parametrize("name", ["/etc/hostname", "../../../etc/hostname"])
def test_an_asset_outside_of_the_model_is_refused(saved: Saved, name: str) -> None:
    from tensorflow.core.protobuf import saved_model_pb2

    from fanwise_cli.operations.saved_model import reached

    folder = saved(lambda x: {"y": x})
    model = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    model.meta_graphs[0].asset_file_def.add().filename = name
    (folder / "saved_model.pb").write_bytes(model.SerializeToString())
    with pytest.raises(BundleError, match="lies outside of the model"):
        reached(folder, "serving_default")


def test_a_graph_that_cannot_be_read_is_said_in_a_line(tmp_path: Path) -> None:
    from fanwise_cli.operations.saved_model import reached

    (tmp_path / "saved_model.pb").write_bytes(b"\xff\xff no graph")
    with pytest.raises(
        BundleError, match=r"^saved_model\.pb: cannot be read \(DecodeError\); export it again$"
    ):
        reached(tmp_path, "serving_default")


def test_the_variables_that_are_written_are_those_of_the_calls(saved: Saved) -> None:
    import tensorflow as tf

    from fanwise_cli.operations.refusing import resets_of
    from fanwise_cli.operations.saved_model import reached

    count, weight = tf.Variable(0.0, name="count"), tf.Variable(2.0, name="weight")

    @tf.function  # type: ignore[untyped-decorator]
    def inner() -> Any:
        return count.assign_add(1.0)

    found = reached(saved(lambda x: {"y": x * weight + inner()}, c=count, w=weight), "serving_default")
    assert [one.op for one in found.writing()] == ["AssignAddVariableOp"]
    assert [one.variables for one in resets_of(found.writing())] == [("count",)]


def test_what_is_drawn_or_kept_elsewhere_is_refused_by_name(saved: Saved) -> None:
    import tensorflow as tf

    from fanwise_cli.operations.refusing import check_loadable
    from fanwise_cli.operations.saved_model import reached

    table = tf.lookup.experimental.MutableHashTable(tf.int64, tf.float32, 0.0)

    def counted(x: Any) -> dict[str, Any]:
        keys = tf.cast(x[:, 0], tf.int64)
        before = table.lookup(keys)
        table.insert(keys, before + 1)
        return {"y": before}

    for function, uses, op in (
        (counted, {"table": table}, "LookupTableInsertV2"),
        (lambda x: {"y": x + tf.random.uniform(tf.shape(x), seed=1)}, {}, "RandomUniform"),
        (lambda x: {"y": tf.random.shuffle(x)}, {}, "RandomShuffle"),
    ):
        with pytest.raises(BundleError, match=rf"\({op} \("):
            check_loadable(reached(saved(function, **uses), "serving_default"))


def test_what_is_drawn_in_a_branch_is_left_to_the_trial(saved: Saved) -> None:
    import tensorflow as tf

    from fanwise_cli.operations.saved_model import reached

    def dropped_out_when_trained(x: Any) -> dict[str, Any]:
        training = tf.reduce_sum(x) > 1e30
        return {"y": tf.cond(training, lambda: x * tf.random.uniform(tf.shape(x)), lambda: x)}

    found = reached(saved(dropped_out_when_trained), "serving_default")
    assert "RandomUniform" in {one.op for one in found.served}
    assert found.random() is None


def test_checks_of_shapes_count_only_where_sizes_are_open(saved: Saved) -> None:
    import tensorflow as tf

    from fanwise_cli.operations.saved_model import reached

    found = reached(saved(lambda x: {"y": tf.ensure_shape(x, (None, 2)) * 2}), "serving_default")
    assert found.checks(sizes_are_open=False) == []
    assert found.checks(sizes_are_open=True) == ["EnsureShape"]


def test_what_is_not_reached_counts_for_nothing(saved: Saved) -> None:
    """Operations of a signature that is not served."""
    import tensorflow as tf

    from fanwise_cli.operations.saved_model import reached

    @tf.function(input_signature=[tf.TensorSpec((), tf.string, "path")])  # type: ignore[untyped-decorator]
    def other(path: Any) -> Any:
        return tf.io.read_file(path)

    found = reached(saved(lambda x: {"y": x * 2}, other=other), "serving_default")
    assert found.outside() is None
