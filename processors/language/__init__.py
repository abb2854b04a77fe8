"""Language models that processors share: a server that speaks OpenAI's protocol, or a Hugging Face directory in the process.

`model.py` is the port and its errors, light to import. `loading.py` opens the model that a processor's options name.
`server.py` talks to servers (httpx). `directory_model.py` runs a model in the process (transformers), once `directory.py` has
checked its files. `answers.py` makes answers meet a JSON schema. `train_tiny.py` trains a model to try all of this with; it
answers nothing useful. docs/language_models.md is for users.
"""
