"""One file for each group of commands; main.py names them."""
