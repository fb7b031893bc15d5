"""A TCP port that leads to another port of this machine, later and slower: slow_link.py PORT SECONDS BYTES_PER_SECOND.

Writes the number of its own port.
"""

from __future__ import annotations

import asyncio
import sys


async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float, rate: float) -> None:
    """What is read, to the other side, as a line of this delay and rate does."""
    loop = asyncio.get_running_loop()
    waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def deliver() -> None:
        while True:
            due, data = await waiting.get()
            await asyncio.sleep(max(0.0, due - loop.time()))
            if not data:
                writer.close()
                return
            writer.write(data)

    delivery = asyncio.create_task(deliver())
    data, free = b"-", 0.0  # when the line has taken all that was given to it
    while data:
        try:
            data = await reader.read(1 << 14)
        except OSError:
            data = b""
        free = max(free, loop.time()) + len(data) / rate
        waiting.put_nowait((free + delay, data))
    await delivery


async def main(port: int, delay: float, rate: float) -> None:
    async def both(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(carry(reader, back, delay, rate), carry(there, writer, delay, rate))

    server = await asyncio.start_server(both, "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])))
