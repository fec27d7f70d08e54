// An API under a limit of 20 requests in 2 s: `node server.js PORT flexible|express`.
const [, , port, kind] = process.argv;
const app = require("express")();

// As in rate-limiter-flexible's own documentation: lemlist's headers are the same.
function flexible() {
  const { RateLimiterMemory } = require("rate-limiter-flexible");
  const limiter = new RateLimiterMemory({ points: 20, duration: 2 });
  return (request, response, next) => {
    const headers = (result) =>
      response.set({
        "Retry-After": result.msBeforeNext / 1000,
        "X-RateLimit-Limit": 20,
        "X-RateLimit-Remaining": result.remainingPoints,
        "X-RateLimit-Reset": new Date(Date.now() + result.msBeforeNext),
      });
    limiter.consume(request.ip).then(
      (result) => { headers(result); next(); },
      (result) => { headers(result); response.status(429).send("Too Many Requests"); },
    );
  };
}

// Its defaults: Retry-After in whole seconds, and only with a 429.
function express() {
  return require("express-rate-limit").rateLimit({ windowMs: 2000, limit: 20 });
}

app.use({ flexible, express }[kind]());
app.use(require("express").json());
app.patch("/api/tasks", (request, response) => response.json({ _id: request.body.id }));
app.listen(port, "127.0.0.1", () => console.log("ready"));
