"""Every Redis key of Tidemark.

key                        type    what                                          lives
td:<id>:account            hash    the account: state, fence, version, cursor…   until deleted
td:<id>:lease              string  owner of the running invocation               LEASE_TTL
td:<id>:hold               string  cool-down: nothing is asked of the provider   as long as the provider said
td:<id>:index              hash    packed message id -> what was last emitted    with the account
td:<id>:log                stream  the change log, <seq>-<append time in ms>     LOG_RETENTION_*
td:<id>:pages              hash    a listing while it is read                    until it is worked through
td:<id>:readers            hash    reader -> "position,seen at"; the webhook too  with the account
td:<id>:interest           hash    what the user is likely to read: model, position  14 days after a look
td:<id>:refreshing         string  one refresh of the access token at a time     seconds
td:<id>:message:<id>      string  cached message                                CACHE_MESSAGE_TTL
td:<id>:thread:<id>        string  ids of a thread's messages                    CACHE_MESSAGE_TTL
td:<id>:folders            string  Gmail's labels with their names               5 minutes
td:<id>:reads              stream  views, for the warmer, MAXLEN 256             with the account
td:<id>:reading            string  the readers' permit (Outlook)                 a request's longest time
td:<id>:called             string  somebody is on the way to sync the account     10 s, or until it begins
td:<id>:delivery           hash    the webhook's position, batch and attempts    with the account
td:<id>:delivering         string  owner of the running delivery                 45 s
td:<id>:dead               stream  ranges of the log that were passed over       with the account, MAXLEN 1000
td:consent:<SHA-256>       string  a begun consent, sealed, by its state         10 minutes, or until it is read
td:session:<HMAC>          string  a session of the status page                  1 hour, or until logged out
td:accounts                set     account ids
td:due:<provider>          zset    account id -> when it is due (ms)
td:addresses               hash    provider|HMAC of the address -> account id
td:preferences             hash    HMAC of the user id -> what to warm, as JSON
td:undelivered             zset    account id -> when its log is delivered (ms)
td:target:<digest>         hash    a webhook's failures, breaker, pause          until it answers well
td:target:<d>:open         string  its breaker is open                           CIRCUIT_BREAKER_COOLDOWN
td:target:<d>:probe        string  owner of the one half-open probe              45 s
td:breaker:<provider>      hash    consecutive failures, and of which mailboxes
td:breaker:<p>:open        string  the breaker is open                           CIRCUIT_BREAKER_COOLDOWN
td:breaker:<p>:probe       string  owner of the one half-open probe              LEASE_TTL
sync_perf:<provider>       stream  one entry a sync, MAXLEN 1000
"""

ACCOUNTS = "td:accounts"
ADDRESSES = "td:addresses"
PREFERENCES = "td:preferences"
UNDELIVERED = "td:undelivered"


def of(account_id: str, what: str) -> str:
    return f"td:{account_id}:{what}"


def message(account_id: str, message_id: str) -> str:
    return f"td:{account_id}:message:{message_id}"


def thread(account_id: str, thread_id: str) -> str:
    return f"td:{account_id}:thread:{thread_id}"


def due(provider: str) -> str:
    return f"td:due:{provider}"


def breaker(provider: str) -> tuple[str, str, str]:
    """Failures, open, probe."""
    return f"td:breaker:{provider}", f"td:breaker:{provider}:open", f"td:breaker:{provider}:probe"


def target(digest: str) -> tuple[str, str, str]:
    """How it stands, open, probe."""
    return f"td:target:{digest}", f"td:target:{digest}:open", f"td:target:{digest}:probe"


def perf(provider: str) -> str:
    return f"sync_perf:{provider}"


def consent(state_digest: str) -> str:
    return f"td:consent:{state_digest}"


def session(digest: str) -> str:
    return f"td:session:{digest}"
