"""A value placed into a command arrives as it is: shown by running the command in real shells."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from airflow_azureml_datastores.core.experiment import bind_command
from airflow_azureml_datastores.core.shell import open_quote
from airflow_azureml_datastores.errors import InvalidInput

SHELLS = [shell for shell in ("bash", "dash") if shutil.which(shell)]

# What is most likely to break out of its place, apart from a random text.
HOSTILE = [
    "two words",
    "it's",
    'say "x"',
    "'\"'\"'",
    "$(echo pwned)",
    "`echo pwned`",
    "; echo pwned",
    "\n echo pwned\n",
    "&& echo pwned #",
    "back\\slash",
    "\\",
    "\\'; echo pwned; '",
    '\\"; echo pwned; "',
    "*",
    "~",
    "!!",
    "{a,b}",
    "",
    "-rf",
    "# no comment",
    "ünïcode €",
    "${HOME}",
    "${{inputs.x}}",
    ")",
]
values = st.sampled_from(HOSTILE) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20
)


def arguments(shell: str, script: str) -> list[str]:
    """What `show` is called with, and what else the script prints."""
    show = 'show() { printf "%s\\0" "$@"; printf "\\n\\0"; }\n'
    with TemporaryDirectory() as folder:
        Path(folder, "f").touch()  # so that an unquoted * shows
        done = subprocess.run([shell, "-c", show + script], capture_output=True, check=False, cwd=folder)
    return done.stdout.decode().split("\0")


def assert_arrives(shell: str, command: str, value: str) -> None:
    """The shell reads the command with a hostile value as it reads it with a harmless one in its place."""
    harmless = "HaRmLeSs"
    expected = arguments(shell, bind_command(command, {"x": harmless}, {}))
    assert any(harmless in text for text in expected), expected
    got = arguments(shell, bind_command(command, {"x": value}, {}))
    assert got == [text.replace(harmless, value) for text in expected]


PLACES = [
    "show ${{inputs.x}}",
    "show --x=${{ inputs.x }}/y",
    'show "${{inputs.x}}"',
    'show "a ${{inputs.x}} b" c',
    "show '${{inputs.x}}'",
    "show 'a ${{inputs.x}} b' c",
    "show a\\ b ${{inputs.x}}",
    'show "a\\"b ${{inputs.x}}"',
    'show "it\'s ${{inputs.x}}"',
    "show 'say \"' ${{inputs.x}} '\"'",
    'show "$HOME ${HOME}" "${{inputs.x}}"',
    'show "$(printf %s "${{inputs.x}}z")"',
    'show "$(printf %s ${{inputs.x}}z)" "${{inputs.x}}"',
    "(show ${{inputs.x}}); show '${{inputs.x}}'",
    "# don't mind\nshow ${{inputs.x}}",
    "show a#'b' ${{inputs.x}}",
    "true;# it's\nshow ${{inputs.x}}",
    "show \\\n  ${{inputs.x}}",
    "show a \\\n'${{inputs.x}}'",
    "case a in a) show ${{inputs.x}};; esac",
    "show $# ${{inputs.x}}",
    'v=${{inputs.x}}\nshow "$v"',
    "show a${{inputs.x}}${{inputs.x}}'b'\"${{inputs.x}}\"",
]


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("command", PLACES)
def test_hostile_values_arrive_as_they_are(shell: str, command: str) -> None:
    for value in HOSTILE:
        assert_arrives(shell, command, value)


pieces = st.sampled_from(
    ["a%", " ", "  ", '"', "'", "\\", "\n", "#", ";show ", "$HOME/", "$", "${HOME}", "$(echo a)", "$(", ")", "(", "<<<",
     "`", "$'", "((", "case ", "<<", "cat <(", "${HOME#/}", "show ", "${{inputs.x}}"]
)  # fmt: skip
# No process ids, and no variable's name that goes on in the value.
befores = st.lists(pieces, max_size=10).map("".join).filter(lambda text: "$$" not in text and text[-1:] != "$")


@settings(max_examples=100)
@given(befores, values.filter(lambda text: not text.isalpha()), st.sampled_from(["", "'", '"', ")", ')"', "\n"]))
def test_in_any_command_a_value_arrives_as_it_is_or_is_refused(before: str, value: str, after: str) -> None:
    # What a substitution gives is not split or matched. Letters alone may be a word of the shell's, such as "then".
    command = f"IFS=; set -f; show {before}${{{{inputs.x}}}}{after}"
    plain = bind_command(command, {"x": "%HaRmLeSs"}, {})
    assume(subprocess.run(["bash", "-n", "-c", plain], capture_output=True, check=False).returncode == 0)
    try:
        bound = bind_command(command, {"x": value}, {})
    except InvalidInput:
        return
    assert arguments("bash", bound) == [text.replace("%HaRmLeSs", value) for text in arguments("bash", plain)]


@pytest.mark.parametrize(
    "command",
    [
        "cat <<EOF\n${{inputs.x}}\nEOF",
        "show `printf ${{inputs.x}}`",
        "show $(( ${{inputs.x}} ))",
        "show $'${{inputs.x}}'",
        "show \\${{inputs.x}}",
        "show $${{inputs.x}}",
        'show "\\${{inputs.x}}"',
        "show # ${{inputs.x}}",
        'show "${HOME:-"${{inputs.x}}"}"',
        'show "$(case a in a) echo ${{inputs.x}};; esac)"',
    ],
)
def test_a_place_that_is_not_followed_takes_plain_values_and_refuses_others(command: str) -> None:
    assert "/data/x-1.csv" in bind_command(command, {"x": "/data/x-1.csv"}, {})
    with pytest.raises(InvalidInput, match=r"\$\{\{inputs\.x\}\} has characters .* variable at the command's start"):
        bind_command(command, {"x": "a b"}, {})


@given(values.filter(bool))
def test_the_refusal_does_not_tell_the_value(value: str) -> None:
    secret = f"{value} s3cret"
    with pytest.raises(InvalidInput) as caught:
        bind_command("# ${{inputs.x}}", {"x": secret}, {})
    assert "s3cret" not in str(caught.value)


def test_a_nul_is_refused() -> None:
    with pytest.raises(InvalidInput, match="NUL"):
        bind_command("show ${{inputs.x}}", {"x": "a\0b"}, {})


@pytest.mark.parametrize(
    ("script", "quote"),
    [("", ""), ("a", ""), ("'", "'"), ('"', '"'), ("''", ""), ("'a'\"", '"'), ('"$(', ""), ('"$(a)', '"'), ("`", None)],
)
def test_open_quote(script: str, quote: str | None) -> None:
    assert open_quote(script) == quote
