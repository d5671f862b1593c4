"""One client asks, another answers: Response Topic and Correlation Data of MQTT 5.0.

Usage: request_reply.py URI TEXT
"""

import asyncio

import ternmq
from arguments import arguments

QUESTIONS = "example/questions"
ANSWERS = "example/answers"


async def answer(questions: ternmq.Subscription, responder: ternmq.Client) -> None:
    async for question in questions:
        if question.response_topic is not None:
            await responder.publish(
                question.response_topic,
                question.payload.upper(),
                qos=1,
                correlation_data=question.correlation_data,
            )


async def main() -> None:
    uri, text = arguments("URI TEXT")
    async with (
        ternmq.Client(uri) as responder,
        ternmq.Client(uri) as asker,
        responder.subscribe(QUESTIONS, qos=1) as questions,
        asker.subscribe(ANSWERS, qos=1) as answers,
    ):
        answering = asyncio.create_task(answer(questions, responder))
        await asker.publish(QUESTIONS, text, qos=1, response_topic=ANSWERS, correlation_data=b"1")
        reply = await answers.get(timeout=10)
        assert reply.correlation_data == b"1"
        print(f"reply: {reply.payload.decode()}")
        answering.cancel()


asyncio.run(main())
