"""WebShop's products on disk: read once, as a stream, into a database and a search index in the cache folder."""

import json
import sqlite3
import threading
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from functools import lru_cache
from pathlib import Path
from typing import Any

from agentrl.errors import DataError
from agentrl.storage.files import write_file
from agentrl_envs.webshop.original.cache import Progress, building, digest_of
from agentrl_envs.webshop.original.files import Files, find_files
from agentrl_envs.webshop.original.streaming import stream_list, stream_object
from agentrl_envs.webshop.product import Product, is_listed, read_product
from agentrl_envs.webshop.search import SearchIndex, search_text
from agentrl_envs.webshop.search.analysis import terms
from agentrl_envs.webshop.search.postings import PostingsBuilder

_BATCH = 5_000
"""Products that are written in one transaction."""
SCANNED = 20_000
"""How many products are looked through for an attribute."""
_DATABASE, _MANIFEST = "products.sqlite", "complete.json"
_KEPT = (
    *("name", "full_description", "small_description", "category", "query", "product_category", "pricing", "asin"),
    *("customization_options", "images"),
)
_SCHEMA = """
CREATE TABLE IF NOT EXISTS progress (key TEXT PRIMARY KEY, value INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS known (asin TEXT PRIMARY KEY, record BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS human (asin TEXT PRIMARY KEY, record BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS products (number INTEGER PRIMARY KEY, asin TEXT UNIQUE NOT NULL, query TEXT NOT NULL,
    category TEXT NOT NULL, record BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS by_query ON products (query);
CREATE INDEX IF NOT EXISTS by_category ON products (category);
"""


class OriginalStock:
    """The products of WebShop's files, see `product.Stock`.

    The first time they are read as a stream and written to the cache folder, product by product: memory does not grow
    with the file, but for about 150 bytes a product while the search index is made. A build that was killed goes on
    where it was. Files of the same content share a cache.

    Args:
      folder: has ``items_shuffle*.json`` and, for goals, ``items_ins_v2*.json`` and ``items_human_ins.json``.

    Raises:
      DataError: a file is missing or malformed, or the cache folder cannot be written to.
    """

    def __init__(self, folder: Path) -> None:
        files = find_files(folder)
        self.digest = digest_of("products", files._asdict())
        with building(self.digest) as self.folder:
            if not _is_complete(self.folder):
                _build(files, self.folder)
        self._local = threading.local()
        self._length = int(self._one("SELECT count(*) FROM products") or 0)
        self.get = lru_cache(maxsize=8192)(self._read)

    def index(self) -> SearchIndex:
        """Return the search index over the products."""
        return SearchIndex.open(self.folder)

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Product]:
        return (_unpack(record) for (record,) in self._all("SELECT record FROM products ORDER BY number"))

    def asin(self, number: int) -> str:
        """Return the asin of the product with this number, from 0."""
        return str(self._one("SELECT asin FROM products WHERE number = ?", number))

    def of_query(self, query: str) -> Sequence[str]:
        """Return the asins of the products with this query."""
        found = self._all("SELECT asin FROM products WHERE query = ? ORDER BY number", query)
        return [asin for (asin,) in found]

    def of_category(self, category: str) -> Sequence[str]:
        """Return the asins of the products of this category."""
        found = self._all("SELECT asin FROM products WHERE category = ? ORDER BY number", category)
        return [asin for (asin,) in found]

    def of_attribute(self, attribute: str) -> Sequence[str]:
        """Return the asins of those of the first 20,000 products that have the attribute."""
        found = self._all("SELECT record FROM products WHERE number < ? ORDER BY number", SCANNED)
        return [product.asin for product in (_unpack(record) for (record,) in found) if attribute in product.attributes]

    def annotations(self, asin: str) -> list[Mapping[str, Any]]:
        """Return what people wrote for a product: entries of ``items_human_ins.json``."""
        record = self._one("SELECT record FROM human WHERE asin = ?", asin)
        return [] if record is None else list(json.loads(zlib.decompress(record)))

    def annotated(self) -> Iterator[tuple[int, Product]]:
        """Yield number and product for each for which people wrote something."""
        query = "SELECT number, products.record FROM products JOIN human USING (asin) ORDER BY number"
        return ((number, _unpack(record)) for number, record in self._all(query))

    def _read(self, asin: str) -> Product | None:
        record = self._one("SELECT record FROM products WHERE asin = ?", asin)
        return None if record is None else _unpack(record)

    def _one(self, query: str, *values: Any) -> Any:
        row = self._connection().execute(query, values).fetchone()
        return None if row is None else row[0]

    def _all(self, query: str, *values: Any) -> Iterator[tuple[Any, ...]]:
        yield from self._connection().execute(query, values)

    def _connection(self) -> sqlite3.Connection:
        """Return this thread's connection."""
        found: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if found is None:
            found = self._local.connection = _connect(self.folder, "?mode=ro&immutable=1")
        return found


def _connect(folder: Path, mode: str = "") -> sqlite3.Connection:
    return sqlite3.connect(f"{(folder / _DATABASE).resolve().as_uri()}{mode}", uri=True, timeout=60)


def _is_complete(folder: Path) -> bool:
    """Whether everything was written, and has the size that it had then."""
    try:
        sizes = json.loads((folder / _MANIFEST).read_bytes())
        return all((folder / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError):
        return False


def _build(files: Files, folder: Path) -> None:
    with closing(_connect(folder)) as database:
        database.executescript(_SCHEMA)
        done = dict(database.execute("SELECT key, value FROM progress"))
        for table, path in (("known", files.known), ("human", files.human)):
            if path is not None and table not in done:
                _store_annotations(database, table, path)
        if "products" not in done:
            _store_products(database, files.products, done.get("offset", 0))
        _index(database, folder)
        database.execute("DELETE FROM known")
        database.commit()
        database.execute("VACUUM")
    names = [_DATABASE, *(path.name for path in folder.glob("*.npy"))]
    write_file(folder / _MANIFEST, json.dumps({name: (folder / name).stat().st_size for name in names}))


def _store_annotations(database: sqlite3.Connection, table: str, path: Path) -> None:
    progress = Progress(f"{path.name} read")
    for count, (asin, record) in enumerate(stream_object(path)):
        database.execute(f"INSERT OR REPLACE INTO {table} VALUES (?, ?)", (asin, _pack(record)))
        progress(count)
    database.execute("INSERT INTO progress VALUES (?, 1)", (table,))
    database.commit()


def _store_products(database: sqlite3.Connection, path: Path, offset: int) -> None:
    progress = Progress(f"{path.name} stored")
    total = path.stat().st_size
    count = database.execute("SELECT count(*) FROM products").fetchone()[0]
    for record, behind in stream_list(path, offset):
        if not isinstance(record, dict):
            raise DataError(f"{path}: an element is no product but {str(record)[:40]!r}")
        if not is_listed(record):
            continue
        known = database.execute("SELECT record FROM known WHERE asin = ?", (record["asin"],)).fetchone()
        facts = {} if known is None else json.loads(zlib.decompress(known[0]))
        product = read_product(record, facts)
        kept = [{key: record.get(key) for key in _KEPT}, facts]
        row = (count, product.asin, product.query, product.category, _pack(kept))
        count += database.execute("INSERT OR IGNORE INTO products VALUES (?, ?, ?, ?, ?)", row).rowcount
        progress(count, f" ({behind / total:.0%})")
        if count % _BATCH == 0:
            database.execute("INSERT OR REPLACE INTO progress VALUES ('offset', ?)", (behind,))
            database.commit()
    database.execute("INSERT INTO progress VALUES ('products', 1)")
    database.commit()


def _index(database: sqlite3.Connection, folder: Path) -> None:
    progress, builder = Progress("products indexed"), PostingsBuilder(folder)
    rows = database.execute("SELECT record FROM products WHERE number >= ? ORDER BY number", (len(builder),))
    for (record,) in rows:
        product = _unpack(record)
        builder.add(product.asin, terms(search_text(product)))
        progress(len(builder))
    builder.finish()


def _pack(value: Any) -> bytes:
    return zlib.compress(json.dumps(value, separators=(",", ":")).encode(), 1)


def _unpack(record: bytes) -> Product:
    return read_product(*json.loads(zlib.decompress(record)))
