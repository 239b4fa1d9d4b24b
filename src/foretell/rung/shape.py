"""The shape of a Llama: its layers and widths, which fix its parameters and the arithmetic of a token."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, PositiveInt, model_validator

BACKWARD = 2  # a backward pass multiplies every matrix twice: by the input, by the gradient (2001.08361, §2.1)


class Shape(BaseModel):
    """Describe a Llama with SwiGLU and grouped-query attention.

    `vocabulary` counts rows of the embedding, `sequence` the tokens of one training sequence. A `tied` model uses its
    embedding as output head. Raises ValueError when the heads do not divide the width.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    layers: PositiveInt
    width: PositiveInt
    heads: PositiveInt
    kv_heads: PositiveInt
    mlp_width: PositiveInt
    vocabulary: PositiveInt
    sequence: PositiveInt
    tied: bool = True

    @model_validator(mode="after")
    def _heads_divide(self) -> Shape:
        if self.width % self.heads or (self.width // self.heads) % 2:
            raise ValueError(
                f"{self.heads} heads do not cut a width of {self.width} into even parts: "
                "rotary positions need an even head width; choose a width that is an even multiple of heads"
            )
        if self.heads % self.kv_heads:
            raise ValueError(f"{self.kv_heads} key-value heads do not divide {self.heads} heads")
        return self

    @property
    def head_width(self) -> int:
        """Give the width of one head."""
        return self.width // self.heads

    @property
    def matrices(self) -> int:
        """Count the entries of the matrices in all layers, without embedding and output head."""
        attention = 2 * self.width * self.width + 2 * self.width * self.kv_heads * self.head_width
        return self.layers * (attention + 3 * self.width * self.mlp_width)

    @property
    def N(self) -> int:
        """Count the parameters without embedding and output head: matrices, two norms a layer, the last norm."""
        return self.matrices + (2 * self.layers + 1) * self.width

    @property
    def N_total(self) -> int:
        """Count all parameters."""
        return self.N + self.vocabulary * self.width * (1 if self.tied else 2)

    @property
    def forward_flop(self) -> float:
        """Count the FLOP of one token's forward pass, on average over a sequence.

        Two for each entry of each matrix, output head included; and for scores and sums of attention four times width
        and the (sequence + 1)/2 positions that a token sees on average. Norms, rotations and the softmax are left out:
        they are no products of matrices.
        """
        attention = 4.0 * self.layers * self.width * (self.sequence + 1) / 2
        return 2.0 * (self.matrices + self.vocabulary * self.width) + attention

    def training_flop(self, D: float) -> float:
        """Count the FLOP of training on D tokens: a forward pass and a backward one of twice its cost."""
        return (1 + BACKWARD) * self.forward_flop * D
