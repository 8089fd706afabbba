"""From downloaded records to training shards."""
