"""The router: which domain's metric head an image belongs to, decided for each image alone."""

import torch
from torch import Tensor, nn

# Wavelengths of the positional encoding grow geometrically up to this.
LONGEST_WAVELENGTH = 10_000.0


class DomainRouter(nn.Module):
    """A small transformer over the bottleneck map; its first token says the domain (arXiv 2302.12288, section 3.4)."""

    def __init__(self, channels: int, domains: int, width: int = 128, layers: int = 4, heads: int = 4, mlp: int = 1024):
        super().__init__()
        self.embedding = nn.Conv2d(channels, width, kernel_size=1)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(width, heads, mlp, dropout=0.1, activation="relu", batch_first=True)
            for _ in range(layers)
        )
        self.linear1 = nn.Linear(width, width)
        self.linear2 = nn.Linear(width, domains)

    def forward(self, bottleneck: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, domains) float32 logits; row i depends on image i alone."""
        tokens = self.embedding(bottleneck).flatten(2).transpose(1, 2)  # (B, C, h, w) -> (B, h*w, width)
        tokens = torch.cat((torch.zeros_like(tokens[:, :1]), tokens), 1)  # an empty token first, to gather the answer
        tokens = tokens + positional_encoding(tokens.shape[1], tokens.shape[2], tokens.device).to(tokens.dtype)
        for layer in self.layers:
            tokens = layer(tokens)
        return self.linear2(torch.relu(self.linear1(tokens[:, 0]))).float()


def positional_encoding(length: int, width: int, device: torch.device) -> Tensor:
    """(length, width) float32: sines of the position in the first half of the channels, cosines in the second."""
    position = torch.arange(length, dtype=torch.float32, device=device)[:, None]
    exponent = torch.arange(0, width, 2, dtype=torch.float32, device=device) / width
    phase = position * LONGEST_WAVELENGTH**-exponent
    return torch.cat((phase.sin(), phase.cos()), 1)


__all__ = ["DomainRouter", "positional_encoding"]
