#!/usr/bin/env bash
# The Pub/Sub topic that Gmail publishes to, and the push subscription that brings its hints to push-webhook.
#
#   PROJECT=my-project PUBLIC_URL=https://tidemark.example.app infra/railway/pubsub.sh
#
# With PUBLISHER=serviceAccount:… (who the functions run as) also the topic of DISPATCH=pubsub: its pushes call gmail-sync and
# outlook-sync with the bare message as the body, proven by the same account and audience as Gmail's (a queue sends no key).
#
# Run twice it changes nothing. It prints the three settings that the functions need. Needs gcloud, logged in as an owner.
# Values and reasons:
#   ack deadline 60 s         the default of 10 s is shorter than a cold start may be; 600 s where a sync is waited for, which
#                             is the most there is: MAX_SYNC_DURATION stays below it
#   retry 10 s to 600 s       a nack slows the whole subscription down, so few and late retries
#   dead letters after 10     what no attempt could deliver is kept for a look; the cron ping syncs those mailboxes anyway
#   expiration never          a subscription expires after 31 idle days otherwise
#   audience, account         both are checked: anyone can make a subscription that pushes to this URL
set -euo pipefail
: "${PROJECT:?PROJECT is the Google Cloud project of the OAuth client}"
: "${PUBLIC_URL:?PUBLIC_URL is where the functions are reached, https://…}"
TOPIC="${TOPIC:-tidemark-gmail}"
SUBSCRIPTION="${SUBSCRIPTION:-tidemark-gmail-push}"
DISPATCH_TOPIC="${DISPATCH_TOPIC:-tidemark-hints}"
DEAD_LETTERS="${TOPIC}-dead-letters"
PUSHER="tidemark-push@${PROJECT}.iam.gserviceaccount.com"
ENDPOINT="${PUBLIC_URL%/}/push-webhook/gmail"
GMAIL="serviceAccount:gmail-api-push@system.gserviceaccount.com"

quietly() { gcloud --project "$PROJECT" --quiet "$@" >/dev/null; }
exists() { gcloud --project "$PROJECT" --quiet "$@" >/dev/null 2>&1; }

quietly services enable pubsub.googleapis.com gmail.googleapis.com iam.googleapis.com
for topic in "$TOPIC" "$DEAD_LETTERS"; do
  exists pubsub topics describe "$topic" || quietly pubsub topics create "$topic"
done
quietly pubsub topics add-iam-policy-binding "$TOPIC" --member "$GMAIL" --role roles/pubsub.publisher
exists iam service-accounts describe "$PUSHER" || quietly iam service-accounts create "${PUSHER%%@*}"

number=$(gcloud projects describe "$PROJECT" --format='value(projectNumber)')
agent="serviceAccount:service-${number}@gcp-sa-pubsub.iam.gserviceaccount.com"
quietly iam service-accounts add-iam-policy-binding "$PUSHER" --member "$agent" --role roles/iam.serviceAccountTokenCreator
quietly pubsub topics add-iam-policy-binding "$DEAD_LETTERS" --member "$agent" --role roles/pubsub.publisher

options=(
  --push-auth-service-account "$PUSHER"
  --push-auth-token-audience "$ENDPOINT"
  --min-retry-delay 10s --max-retry-delay 600s
  --dead-letter-topic "$DEAD_LETTERS" --max-delivery-attempts 10
  --expiration-period never
)
# subscription, topic, endpoint, ack deadline, and what only a creation may say (a filter can't be changed)
push() {
  local name="$1" topic="$2" endpoint="$3" deadline="$4"
  shift 4
  if exists pubsub subscriptions describe "$name"; then
    quietly pubsub subscriptions update "$name" --push-endpoint "$endpoint" --ack-deadline "$deadline" "${options[@]}"
  else
    quietly pubsub subscriptions create "$name" --topic "$topic" --push-endpoint "$endpoint" --ack-deadline "$deadline" \
      "${options[@]}" "$@"
  fi
  quietly pubsub subscriptions add-iam-policy-binding "$name" --member "$agent" --role roles/pubsub.subscriber
}
push "$SUBSCRIPTION" "$TOPIC" "$ENDPOINT" 60
exists pubsub subscriptions describe "${DEAD_LETTERS}-kept" ||
  quietly pubsub subscriptions create "${DEAD_LETTERS}-kept" --topic "$DEAD_LETTERS" --expiration-period never

cat <<SETTINGS
GMAIL_PUBSUB_TOPIC=projects/${PROJECT}/topics/${TOPIC}
PUBSUB_AUDIENCE=${ENDPOINT}
PUBSUB_SERVICE_ACCOUNT=${PUSHER}
SETTINGS

if [[ -n "${PUBLISHER:-}" ]]; then
  exists pubsub topics describe "$DISPATCH_TOPIC" || quietly pubsub topics create "$DISPATCH_TOPIC"
  quietly pubsub topics add-iam-policy-binding "$DISPATCH_TOPIC" --member "$PUBLISHER" --role roles/pubsub.publisher
  for provider in gmail outlook; do
    push "${DISPATCH_TOPIC}-${provider}" "$DISPATCH_TOPIC" "${PUBLIC_URL%/}/${provider}-sync" 600 \
      --push-no-wrapper --message-filter "attributes.provider = \"${provider}\""
  done
  cat <<SETTINGS
DISPATCH=pubsub
DISPATCH_PUBSUB_TOPIC=projects/${PROJECT}/topics/${DISPATCH_TOPIC}
SETTINGS
fi
