"""A formula as data: the steps of a stack machine, which a page runs without executing any text."""

from __future__ import annotations

import ast

from foretell.laws import Law

Step = float | str

_WORDS: dict[type[ast.operator], str] = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Pow: "**",
}  # fmt: skip


def program_of(law: Law) -> list[Step]:
    """Give a law's formula in postfix order.

    A number stands for itself, `c2` for the third coefficient, `:N` for the input N; what is left are `+ - * / **`,
    `neg` and the functions exp, log and sqrt. The formula has passed the whitelist of `foretell.laws.formula`.
    """
    places = {name: f"c{i}" for i, name in enumerate(law.coefficients)}
    steps: list[Step] = []

    def write(node: ast.expr) -> None:
        if isinstance(node, ast.Constant):
            steps.append(float(node.value))  # type: ignore[arg-type]  # the whitelist lets only numbers through
        elif isinstance(node, ast.Name):
            steps.append(places.get(node.id, f":{node.id}"))
        elif isinstance(node, ast.UnaryOp):
            write(node.operand)
            if isinstance(node.op, ast.USub):
                steps.append("neg")
        elif isinstance(node, ast.BinOp):
            write(node.left)
            write(node.right)
            steps.append(_WORDS[type(node.op)])
        else:
            assert isinstance(node, ast.Call)
            assert isinstance(node.func, ast.Name)
            write(node.args[0])
            steps.append(node.func.id)

    write(law.parsed.tree)
    return steps
