"""A checkout's client: ask for a verdict by HTTP or by topics, with an answer of its own when nothing answers."""

from backoffice.checkout.request import TransactionRequest
from contract.verdicts import Decision, Reason, Verdict
from tillguard.client.answers import Answer, Fallback, RequestRefusedError, UnansweredError, decide_by_amount
from tillguard.client.http_client import AsyncClient, Client
from tillguard.client.topic_client import AsyncTopicClient, TopicClient

__all__ = [
    "Answer",
    "AsyncClient",
    "AsyncTopicClient",
    "Client",
    "Decision",
    "Fallback",
    "Reason",
    "RequestRefusedError",
    "TopicClient",
    "TransactionRequest",
    "UnansweredError",
    "Verdict",
    "decide_by_amount",
]
