"""Updates to results, under the limit: backlog, lanes, workers, retries, health, pacing."""
