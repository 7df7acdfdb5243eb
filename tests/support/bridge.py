"""TCP on the loopback in front of a unix socket: bridge.py SOCKET PORT-FILE. It chooses the port and writes it down.

Each direction has a thread of its own: where the supervisor answers ahead of a request's body and closes, the rest of the
body finds nobody, and the answer still has to come through.
"""

import socket
import sys
import threading


def pump(source, sink):
    try:
        while data := source.recv(65536):
            sink.sendall(data)
    except OSError:
        pass
    try:
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def serve(outer, path):
    with outer, socket.socket(socket.AF_UNIX) as inner:
        try:
            inner.connect(path)
        except OSError:
            return
        asks = threading.Thread(target=pump, args=(outer, inner), daemon=True)
        asks.start()
        pump(inner, outer)
        # Nothing is asked any more once the answers have ended.
        try:
            outer.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        asks.join()


def main(path, port_file):
    listener = socket.create_server(("127.0.0.1", 0))
    with open(port_file, "w") as file:
        file.write(str(listener.getsockname()[1]))
    while True:
        outer, _ = listener.accept()
        threading.Thread(target=serve, args=(outer, path), daemon=True).start()


main(*sys.argv[1:])
