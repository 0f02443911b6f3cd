"""The web shop: WebShop's rules (arXiv:2207.01206) on its own products or on generated ones."""
