/**
 * Tidemark on Railway: one service that sleeps until a push, a reader or the cron ping wakes it, and that ping.
 *
 *   tidemark   every function from one process; sleeps when nothing has gone out for ten minutes
 *   ping       every five minutes: POST /gmail-sync and /outlook-sync, then it exits (an overlapping run is skipped)
 *
 * Secrets are kept as Railway has them (`preserve`): set them once in the dashboard, see .env.example.
 * Apply with `railway config plan`, then `railway config apply` (CLI 5.42.1 or newer).
 *
 * Source: https://docs.railway.com/infrastructure-as-code
 */
import { defineRailway, github, preserve, project, service } from "railway/iac";

const REPOSITORY = "your-name/tidemark";
const DRAINING_SECONDS = 30; // SIGKILL comes after 3 s otherwise, in the middle of a step (nothing would be lost)

const SECRETS = [
  "UPSTASH_REDIS_REST_URL",
  "UPSTASH_REDIS_REST_TOKEN",
  "TIDEMARK_API_KEY",
  "TOKEN_ENCRYPTION_KEYS",
  "GOOGLE_CLIENT_ID",
  "GOOGLE_CLIENT_SECRET",
  "GMAIL_PUBSUB_TOPIC",
  "PUBSUB_AUDIENCE",
  "PUBSUB_SERVICE_ACCOUNT",
  "MICROSOFT_CLIENT_ID",
  "MICROSOFT_CLIENT_SECRET",
  "PUBLIC_URL",
] as const;

export default defineRailway(() => {
  const kept = Object.fromEntries(SECRETS.map((name) => [name, preserve()]));

  const tidemark = service("tidemark", {
    source: github(REPOSITORY),
    build: { builder: "DOCKERFILE", dockerfilePath: "infra/railway/Dockerfile" },
    healthcheck: "/status/health",
    healthcheckTimeout: 30,
    deploy: {
      sleepApplication: true,
      drainingSeconds: DRAINING_SECONDS,
      restartPolicyType: "ON_FAILURE",
      restartPolicyMaxRetries: 5,
    },
    env: kept,
  });

  const ping = service("ping", {
    source: github(REPOSITORY),
    build: { builder: "DOCKERFILE", dockerfilePath: "infra/railway/Dockerfile" },
    start: "python -m infra.railway.ping",
    deploy: { cronSchedule: "*/5 * * * *", restartPolicyType: "NEVER" },
    env: { TIDEMARK_API_KEY: preserve(), PUBLIC_URL: preserve() },
  });

  return project("tidemark", { resources: [tidemark, ping] });
});
