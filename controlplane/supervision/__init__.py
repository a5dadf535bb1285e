"""Run the product's processes together: forked from one parent, watched, restarted, ended."""
