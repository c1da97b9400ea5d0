"""Questions asked of a model, with every answer kept."""
