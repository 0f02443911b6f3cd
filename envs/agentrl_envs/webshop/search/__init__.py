"""Search as the original's: Lucene's terms, an inverted index, BM25."""

from agentrl_envs.webshop.search.index import LIMIT as LIMIT
from agentrl_envs.webshop.search.index import SearchIndex as SearchIndex
from agentrl_envs.webshop.search.index import search_text as search_text
