"""Text to train on: tokenizers, shards, pools and the mixtures drawn from them."""

from foretell.corpus.build import Texts, build_corpus
from foretell.corpus.corpus import Corpus, open_corpus
from foretell.corpus.documents import Documents
from foretell.corpus.stream import Pool, Stream, Usage, pool_of
from foretell.corpus.tokenizer import ByteTokenizer, FileTokenizer, Tokenizer, read_tokenizer

__all__ = [
    "ByteTokenizer", "Corpus", "Documents", "FileTokenizer", "Pool", "Stream", "Texts", "Tokenizer", "Usage",
    "build_corpus", "open_corpus", "pool_of", "read_tokenizer",
]  # fmt: skip
