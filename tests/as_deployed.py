"""`make check-template`'s last step: the template as SAM and CloudFormation see it. Run by SAM's own Python.

What SAM makes of the template has no cycle and names only what there is, whatever the conditions are. And
`sam deploy` neither looks for Docker nor asks for a registry, whether there is an image or not: it does for
functions of an image, unless its URI is a registry's, and without --guided unless samconfig.toml names a
repository.
"""

import sys
import tomllib
from pathlib import Path
from typing import Any

from samcli.lib.package.utils import is_ecr_url
from samcli.lib.providers.sam_function_provider import SamFunctionProvider
from samcli.lib.providers.sam_stack_provider import SamLocalStackProvider
from samcli.lib.utils.packagetype import IMAGE
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

from template_graph import GraphError, check, under_every_condition

ROOT = Path(__file__).parents[1]
AN_IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/fanwise:1"
_BUILT = {"CodeUri": "s3://b/k", "ContentUri": "s3://b/k", "DefinitionUri": {"Bucket": "b", "Key": "k"}}


def main() -> int:
    """Check; 1 with what is wrong where something is."""
    try:
        template = _transformed()
        combinations = list(under_every_condition(template))
        for words, made in combinations:
            _check_graph(words, made)
        for image in ("", AN_IMAGE):
            _check_image_functions(image)
    except GraphError as error:
        sys.stderr.write(f"template.yaml: {error}\n")
        return 1
    sys.stderr.write(
        f"template.yaml: {len(template['Resources'])} resources after SAM's transform; no cycle under"
        f" {len(combinations)} combinations of conditions; to be deployed without Docker\n"
    )
    return 0


def _transformed() -> dict[str, Any]:
    template = yaml_parse((ROOT / "template.yaml").read_text())
    for resource in template["Resources"].values():
        properties = resource["Properties"]
        properties.update({name: _BUILT[name] for name in _BUILT.keys() & properties.keys()})
    made: dict[str, Any] = Translator({}, Parser()).translate(template, {})
    return made


def _check_graph(words: str, template: dict[str, Any]) -> None:
    try:
        check(template)
    except GraphError as error:
        raise GraphError(f"{error} ({words})") from error


def _check_image_functions(image: str) -> None:
    """As `sam deploy` looks at them: it is to see none."""
    stacks, _ = SamLocalStackProvider.get_stacks(
        str(ROOT / "template.yaml"), parameter_overrides={"PredictBatchImageUri": image}
    )
    config = tomllib.loads((ROOT / "samconfig.toml").read_text())["default"]["deploy"]["parameters"]
    functions = SamFunctionProvider(stacks, ignore_code_extraction_warnings=True).get_all()
    if seen := [function.name for function in functions if function.packagetype == IMAGE]:
        raise GraphError(
            f"sam deploy would look for Docker to push {', '.join(seen)} where PredictBatchImageUri is {image!r};"
            f" let ImageUri be one of a registry"
        )
    if not is_ecr_url(config.get("image_repository", "")):
        raise GraphError("samconfig.toml: names no image_repository, without which sam deploy ends at once")


if __name__ == "__main__":
    sys.exit(main())
