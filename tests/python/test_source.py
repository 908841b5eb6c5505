"""Any bytes are a module or a diagnostic with its place: through Python and through the command, which exits with 1."""

import json
import os
import shutil
import subprocess

import pytest

import heddle as hd

HEAD = "op f(x: f32[n]) -> y: f32[n] { y[i] = "
CASES = {
    "empty": (b"", "HD0010", 1, 1),
    "blank": (b" \n\n\t\r\n", "HD0010", 1, 1),
    "parentheses": ((HEAD + "(" * 60000 + "x[i]" + ")" * 60000 + " }").encode(), "HD0004", 1, len(HEAD) + 256),
    "open brackets": (b"[" * 100000, "HD0004", 1, 257),
    "chain": ((HEAD + "+".join(["1"] * 250000) + " }").encode(), "HD0005", 1, len(HEAD) + 2002),
    "long text": ((HEAD + "+".join(["x[i]"] * 250000) + " }").encode(), "HD0001", 1, 1048577),
    "many tokens": (HEAD.encode() + b"x[i]\n" * 20000, "HD0003", None, None),
    "not utf-8": (b"op f(x: f32[n]) -> y: f32[n] {\n  y[i] = x[\xff]\n}", "HD0002", 2, 12),
    "truncated utf-8": (b"// \xe2\x82", "HD0002", 1, 4),
    "zero bytes": (b"\0\0\0", "HD0006", 1, 1),
    "truncated": (b"op f(x: f32[n]) -> y: f32[n] { y[i] = x[i", "HD0009", 1, 42),
    "truncated header": (b"op f(x: f32[n]) ->", "HD0011", 1, 19),
    "windows line ends": (b"op f(x: f32[n]) -> y: f32[n] {\r\n  y[i] = z[i]\r\n}\r\n", "HD0101", 2, 10),
}


@pytest.mark.parametrize("name", CASES)
def test_refused_at_its_place(name, tmp_path):
    text, code, line, column = CASES[name]
    path = tmp_path / "text.hd"
    path.write_bytes(text)
    with pytest.raises(hd.Error) as error:
        hd.load(path)
    e = error.value
    assert e.code == code, str(e)
    assert line is None or (e.line, e.column) == (line, column)
    assert len(str(e)) < 4000
    command = shutil.which("heddle") or os.path.join(os.path.dirname(hd._heddle.__file__), "..", "..", "bin", "heddle")
    if os.path.exists(command):
        done = subprocess.run([command, "check", str(path), "--json"], capture_output=True, timeout=60)
        assert done.returncode == 1, done.stderr
        found = json.loads(done.stdout)["diagnostics"][0]
        assert (found["code"], found["line"], found["column"]) == (e.code, e.line, e.column)


def test_a_folder_is_no_text(tmp_path):
    with pytest.raises(hd.Error, match="is a folder, not a file") as e:
        hd.load(tmp_path)
    assert e.value.code == "HD0553"
