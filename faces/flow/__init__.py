"""A conditional flow of codes: counterfactual edits by abduction, action and prediction."""
