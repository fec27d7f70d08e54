"""From updates to results, under the rate limit: backlog, lanes, retries, health, pacing."""
