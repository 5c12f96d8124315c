"""The reader of stack files beside the real engine: the same values, or both refuse.

The engine's word is `pulumi config --json`. Not shown: secrets, and what an ESC environment adds.
"""

import contextlib
import json
import os
import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from config.base import PROJECT
from config.files.stack_file import StackFileError, decoded, read
from config.load import Refused, parse, read_stack_file
from local_cluster import toolchain

WORDS = """
on off yes no y n On true True TRUE tRue false False null Null NULL nUll ~ 'true' "3" 'null' ''
0 7 -7 +7 007 017 08 09.5 0x1F 0X1f -0x1F 0o17 0O17 -0o17 0b101 -0b11 0b2 0o8 0xg 1_000 1__0 _1
12e3 1e3 1E+3 1.0 1.50 .5 -.5 +.5 5. 1e21 1e-7 123456789012345678901234567890 9223372036854775807
9223372036854775808 -9223372036854775808 18446744073709551615 18446744073709551616 1e400
+18446744073709551615 2026-12-31 2026-1-2 2026-13-01 2026-02-30 2001-12-14t21:59:43.10-05:00
2001-12-14T21:59:43Z 2001-12-14t21:59:43.1234567891Z 2001-12-14T21:59:43+02:00 20:30 190:20:30 1:2
0.0.0.0 10.0.0.0/8 = - -- --- +- . .. .a - <<x a:b @x `x %x é 😀 1.2.3 v1 1,000 0. 00 -0 -0.0 +0 0x
0b 0o <<
"""
"""Plain words that some YAML takes for more than text."""

TAGGED = ("!!str 3", "!!str true", "!!str null", "!!str <<", "!!int 3", '!!int "3"', "!!float 3",
    "!!float 3.5", "!!binary aGk=", "!foo bar", "!!foo bar", "!!null x", "!!bool true",
    "!!timestamp 2026-01-02", "!!null ~")  # fmt: skip
SCALARS = (*WORDS.split(), *TAGGED)


FILES = [
    b"",
    b"~",
    b"--- \n...\n",
    b"[]",
    b"text",
    b"config:\n",
    b"config: []\n",
    b"config: 3\n",
    b"config: {a: 1}\n---\nconfig: {a: 2}\n",
    b"config: {a: 1}\n---\n[unclosed\n",
    b"\xef\xbb\xbfconfig: {a: 1}\n",
    "config: {a: é}\n".encode("utf-16"),
    b"config: {a: \xff}\n",
    b"config: {a: \x01}\n",
    b"config:\n\ta: 1\n",
    b"config: {a: [1, 2}\n",
    b"config:\n  a: 1\n a: 2\n",
    b"config:\n  a: 1\n  a: 2\n",
    b"config:\n  a: {x: 1, 'x': 2}\n",
    b"config:\n  a: {1: x}\n",
    b"config:\n  a: {true: x}\n",
    b"config:\n  a: {on: x, y: z}\n",
    b"config:\n  a: {1.5: a, 1e6: b, 123456.7: c, 1e-5: d, -0.25: e, 0x1F: f, .inf: g, 0.0: h}\n",
    b"config: {1: x}\n",
    b"config: {true: x, a: 1}\n",
    b"1: x\nconfig: {a: 1}\n",
    b"1: x\n",
    b"config:\n  a: {2026-12-31: x}\n",
    b"config:\n  a: {~: x}\n",
    b"config:\n  a: {? [1] : x}\n",
    b"config:\n  a: {? {b: 1} : x}\n",
    b"config:\n  a: {b: .inf}\n",
    b"config:\n  a: .nan\n",
    b"config:\n  a: {b: !!int x}\n",
    b"config:\n  a: {b: !!bool on}\n",
    b"config:\n  a: !!binary '*'\n",
    b"config:\n  a: &x {b: 1}\n  c: *x\n  d: {<<: *x, e: 2}\n  f: {<<: [*x, {b: 3, g: 4}], h: 1}\n",
    b"config:\n  a: &x {b: 1}\n  d: {b: 2, <<: *x}\n",
    b"config:\n  a: {<<: 3}\n",
    b"config:\n  a: {<<: [3]}\n",
    b"config:\n  a: &x [*x]\n",
    b"config:\n  a: *nobody\n",
    b"config:\n  a: {b: <<}\n",
    b"config:\n  a: |\n    text\n      more\n  b: >-\n    folded\n    text\n",
    b"config:\n  a: !!set {x, y}\n  b: !!omap [x: 1]\n  c: !own {x: 1}\n",
    b"config:\n  a: {x: !own 3, y: !!python/object:os.system {}}\n",
    b"%YAML 1.1\n---\nconfig: {a: 1}\n",
    b"%YAML 1.2\n---\nconfig: {a: 1}\n",
    b"config:\n  a:b:c: 1\n",
    b"config:\n  a:config:c: 1\n",
    b"config:\n  a:b:c:d: 1\n",
    b"config:\n  other:x: [1]\n",
    b"encryptionsalt: [1]\n",
    b"encryptionsalt: 3\nconfig: {a: 1}\n",
    b"config: {a: {secure: 3}, b: [null, {}], c: '', d: '[1, 2]', e: '{', f: null}\n",
    b"config:\n  a: 'x\n",
    b"config: {a: [" * 20 + b"\n",
    b"a: &a [x,x,x,x,x,x,x,x,x,x]\n"
    + b"".join(
        f"{to}: &{to} [{','.join(['*' + of] * 10)}]\n".encode()
        for of, to in zip("abcdefg", "bcdefgh", strict=True)
    ),
]
ALPHABET = [
    *"abx01 -:,[]{}&*!|>'\"%#?~.\n\t", "\n  ", "\n    ", ": ", "- ", "<<: ", "&x ", "*x", "!!str ",
    "config:\n  ", "2026-01-02", "true", "null", "1e3", "\u00e9", "\u2028",
]  # fmt: skip


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Callable[[bytes], dict[str, object] | None]:
    """Return the engine's reading of a stack file; None if the engine refuses it."""
    folder = tmp_path_factory.mktemp("engine")
    (folder / "Pulumi.yaml").write_text(f"name: {PROJECT}\nruntime: python\n")
    environment = {
        **os.environ,
        "PATH": toolchain.path_with(toolchain.bin_dir("cli")),
        "PULUMI_BACKEND_URL": folder.as_uri(),
        "PULUMI_HOME": str(folder / "home"),
        "PULUMI_CONFIG_PASSPHRASE": "test",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
    }

    def pulumi(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = ["pulumi", *arguments, "--stack", "x", "--non-interactive"]
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)

    assert pulumi("stack", "init").returncode == 0

    def ask(content: bytes) -> dict[str, object] | None:
        (folder / "Pulumi.x.yaml").write_bytes(content)
        done = pulumi("config", "--json")
        if done.returncode:
            return None
        values = json.loads(done.stdout)
        return {
            key: decoded(key, entry["value"]) for key, entry in values.items() if "value" in entry
        }

    return ask


def ours(content: bytes, folder: Path) -> dict[str, object] | None:
    file = folder / "Pulumi.x.yaml"
    file.write_bytes(content)
    try:
        return read(file)
    except StackFileError:
        return None


def test_every_scalar_is_what_the_engine_makes_of_it(engine, tmp_path: Path):
    lines = [f"  {PROJECT}:{at}: {{top: {word}}}\n" for at, word in enumerate(SCALARS)]
    # No parameter is a number at the top, where the engine keeps more digits.
    short = [word for word in SCALARS if len(word) < 19]
    lines += [f"  {PROJECT}:top{at}: {word}\n" for at, word in enumerate(short)]
    # One that is no YAML by itself would take the others along.
    sound = [line for line in lines if ours(b"config:\n" + line.encode(), tmp_path) is not None]
    assert len(sound) > 0.8 * len(lines)
    content = ("config:\n" + "".join(sound)).encode()
    assert ours(content, tmp_path) == engine(content)


@pytest.mark.parametrize("content", FILES, ids=lambda content: repr(content[:40]))
def test_a_file_reads_the_same_or_is_refused_by_both(engine, tmp_path: Path, content: bytes):
    assert ours(content, tmp_path) == engine(content)


def test_no_file_ends_in_a_traceback(engine, tmp_path: Path):
    chance = random.Random(8)
    compared = 0
    for _ in range(4_000):
        text = "".join(chance.choice(ALPHABET) for _ in range(chance.randint(1, 25)))
        content = f"config:\n  a: {text}\n".encode()
        mine = ours(content, tmp_path)
        with contextlib.suppress(Refused):
            parse(read_stack_file(tmp_path / "Pulumi.x.yaml"))
        # The engine takes a third of a second a file, so it is asked about some.
        if mine is not None and compared < 12 and set(text) & set("&*!<{["):
            compared += 1
            assert mine == engine(content), content
    assert compared == 12


def test_a_refusal_names_the_line(tmp_path: Path):
    file = tmp_path / "Pulumi.x.yaml"
    file.write_text("config:\n  tier: dev\n  gpuNodes:\n    labels: {a: x, b: &b [*b]}\n")
    with pytest.raises(Refused, match="line 4: an anchor's value contains itself"):
        read_stack_file(file)
