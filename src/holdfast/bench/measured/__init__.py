"""What models are asked, their scores, what became of them, and the verdict."""
