"""Equations of an op as people write them: indices below, sums as signs. HTML made from the text of the op."""

import html
import re

_PIECE = re.compile(r"[ \t\r\f]*(//[^\n]*|\"[^\"\n]*\"|\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|[A-Za-z_]\w*|\.\.\.|\.\.|<-|->|<=|>=|==|!=|&&|\|\||<<|>>|\n|.)")
_SIGNS = {"<=": "\u2264", ">=": "\u2265", "!=": "\u2260", "==": "=", "&&": "\u2227", "||": "\u2228", "!": "\u00ac", "-": "\u2212", "*": "\u00b7", "inf": "\u221e",
          "..": "\u2025", "<-": "\u2190"}
_REDUCERS = {"sum": "\u2211", "prod": "\u220f", "any": "\u22c1", "all": "\u22c0"}
_SPACED = {"+", "-", "/", "==", "!=", "<=", ">=", "<", ">", "&&", "||", "=", "<-", "or", "then", "else", "where", "in", "if", "..", "%", "<<", ">>", "|", "^"}
_WORDS = {"if", "then", "else", "or", "where", "let", "require", "scan", "reverse", "in"}
_GOES_ON = (_SPACED | {",", "*"}) - {"if"}
_GREEK = {n: f"&{n};" for n in ("alpha", "beta", "gamma", "delta", "epsilon", "theta", "lambda", "mu", "sigma", "tau", "phi", "omega")}


def _text(value):
    return html.escape(str(value), quote=True)


def pieces(text):
    return [found[1] for found in _PIECE.finditer(text) if found[1].strip() or found[1] == "\n"]


def _closing(items, at):
    """The place of the bracket that closes the one at `at`."""
    depth = 0
    for i in range(at, len(items)):
        depth += (items[i] in "([{") - (items[i] in ")]}") if len(items[i]) == 1 else 0
        if depth == 0:
            return i
    return len(items) - 1


def _name(word):
    return _GREEK.get(word, f"<i>{_text(word)}</i>" if len(word) == 1 else _text(word))


def _sign(items, at):
    """A mark or a word, with the space around it."""
    piece = items[at]
    unary = piece in "-!~" and (at == 0 or items[at - 1] in _SPACED or items[at - 1] in ("(", "[", ",", "*") or items[at - 1] in _WORDS)
    shown = _text(_SIGNS.get(piece, piece))
    if piece in _WORDS:
        shown = f'<span class="word">{shown}</span>'
    if unary:
        return shown
    if piece == ",":
        return ", "
    return f" {shown} " if piece in _SPACED else shown


def expression(items):
    """HTML of the pieces of an expression or of one side of an equation."""
    out, at = [], 0
    while at < len(items):
        piece = items[at]
        follows = items[at + 1] if at + 1 < len(items) else ""
        if re.match(r"[A-Za-z_]", piece) and piece not in _WORDS and piece != "inf":
            # `st[r].m`, `call.stage`: the path is the name.
            path = [piece]
            at += 1
            while at + 1 < len(items) and items[at] == "." and re.match(r"[A-Za-z_]", items[at + 1]):
                path.append(items[at + 1])
                at += 2
            name = ".".join(path)
            if at < len(items) and items[at] == "[":
                end = _closing(items, at)
                below = expression(items[at + 1:end])
                after = items[end + 1] if end + 1 < len(items) else ""
                # A reducer stands before what it reduces; a tensor never does.
                reduces = after and (re.match(r"[A-Za-z_\d(]", after) is not None) and after not in _WORDS
                shown = _REDUCERS.get(name, _name(name)) if reduces else _name(name)
                space = " " if reduces else ""
                out.append(f'{f"<b>{shown}</b>" if reduces else shown}<sub>{below}</sub>{space}')
                at = end + 1
            elif at < len(items) and items[at] == "(":
                end = _closing(items, at)
                inside = expression(items[at + 1:end])
                out.append(f"\u221a({inside})" if name == "sqrt" else f"|{inside}|" if name == "abs" else f"{_text(name)}({inside})")
                at = end + 1
            else:
                out.append(_name(name))
            continue
        if piece == "..." and follows:
            out.append(f"\u2026{_name(follows)}")
            at += 2
            continue
        out.append(_sign(items, at))
        at += 1
    return "".join(out)


def _statements(items):
    """The lines of a block: pieces between line ends outside brackets. A line that ends in an operator goes on, and so does one that is followed by
    an operator; a brace ends one."""
    items = [p for p in items if not p.startswith("//")]
    line, depth = [], 0
    for at, piece in enumerate(items):
        ends = piece in ("\n", ";", "{", "}")
        if not ends:
            depth += (piece in "([") - (piece in ")]") if len(piece) == 1 else 0
            line.append(piece)
            continue
        following = next((p for p in items[at + 1:] if p != "\n"), "")
        goes_on = piece == "\n" and line and (depth or line[-1] in _GOES_ON or following in _GOES_ON)
        if line and not goes_on:
            yield line
            line = []
    if line:
        yield line


def _equals(line):
    depth = 0
    for i, piece in enumerate(line):
        depth += (piece in "([") - (piece in ")]") if len(piece) == 1 else 0
        if depth == 0 and piece in ("=", "<-"):
            return i
    return None


def equations(text):
    """Rows (left, sign, right) of HTML for the equations of an op's text; a row without an equation has only a right side."""
    start = text.find("{")
    rows = []
    for line in _statements(pieces(text[start + 1:text.rfind("}")])):
        at = _equals(line)
        if line[0] == "require":
            comma = max((i for i, p in enumerate(line) if p == ","), default=len(line))
            rows.append(("", "", f'<span class="word">require</span> {expression(line[1:comma])}'))
        elif at is None:
            rows.append(("", "", f'<span class="word">{_text(" ".join(line))}</span>'))
        else:
            left = line[1:at] if line[0] == "let" else line[:at]
            word = '<span class="word">let</span> ' if line[0] == "let" else ""
            rows.append((word + expression(left), _text(_SIGNS.get(line[at], line[at])), expression(line[at + 1:])))
    return rows
