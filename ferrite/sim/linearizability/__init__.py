"""Is a history linearizable? Readers, models and checkers for anybody's histories; docs/histories.md explains them."""
