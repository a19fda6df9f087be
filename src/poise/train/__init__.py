"""The methods that train, each a thin function around TRL's trainer."""
