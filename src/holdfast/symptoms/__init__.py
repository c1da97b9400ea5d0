"""Symptoms: ways in which fine-tuning goes wrong, each a test of the tuned model's answers against the base's."""

from holdfast.symptoms.evidence import Evidence, Pair, Reply
from holdfast.symptoms.names import TESTS, symptoms_of
from holdfast.symptoms.symptom import Quote, Symptom

__all__ = ["TESTS", "Evidence", "Pair", "Quote", "Reply", "Symptom", "symptoms_of"]
