"""What happens to a model between a request and an answer: the steps of a delivery and their order."""
