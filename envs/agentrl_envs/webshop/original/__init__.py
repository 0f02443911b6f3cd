"""WebShop's own data: files of any size, kept on disk once they were read, and the goals in them."""
