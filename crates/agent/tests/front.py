"""Stands before a broker of Kafka: TLS, and a login by SCRAM as a library for servers knows it; then it hands on."""
import socket, ssl, struct, sys, threading
from scramp import ScramException, ScramMechanism

PORT, BROKER, CERT, KEY, USER, SECRET = sys.argv[1:]
API_VERSIONS, HANDSHAKE, AUTHENTICATE, REFUSED = 18, 17, 36, 58
HOW = "SCRAM-SHA-512"
MECHANISM = ScramMechanism(HOW)
KNOWN = MECHANISM.make_auth_info(SECRET)


def exact(of, count):
    data = b""
    while len(data) < count:
        some = of.recv(count - len(data))
        if not some:
            raise EOFError
        data += some
    return data


def frame(of):
    return exact(of, struct.unpack(">i", exact(of, 4))[0])


def put(to, message):
    to.sendall(struct.pack(">i", len(message)) + message)


def compact(data):
    """Bytes with their length as Kafka writes it since its flexible versions."""
    count, head = len(data) + 1, b""
    while count > 127:
        head, count = head + bytes([count & 127 | 128]), count >> 7
    return head + bytes([count]) + data


def uncompact(data):
    count, shift, at = 0, 0, 0
    while True:
        count |= (data[at] & 127) << shift
        shift, at = shift + 7, at + 1
        if data[at - 1] < 128:
            return data[at : at + count - 1]


def answer(version, serial, error, data):
    if version < 2:
        text = struct.pack(">ihh", serial, error, -1) + struct.pack(">i", len(data)) + data
        return text + (struct.pack(">q", 0) if version == 1 else b"")
    return struct.pack(">ibhb", serial, 0, error, 0) + compact(data) + struct.pack(">qb", 0, 0)


def login(client, broker):
    def info(name):
        if name != USER:
            raise ScramException("nobody is called so")
        return KNOWN

    server, step = MECHANISM.make_server(info), 0
    while step < 2:
        message = frame(client)
        api, version, serial, name = struct.unpack(">hhih", message[:10])
        body = message[10 + max(name, 0) :]
        if api == API_VERSIONS:
            put(broker, message)
            put(client, frame(broker))
        elif api == HANDSHAKE:
            put(client, struct.pack(">ihih", serial, 0, 1, len(HOW)) + HOW.encode())
        elif api == AUTHENTICATE:
            said = (uncompact(body[1:]) if version >= 2 else body[4:]).decode()
            try:
                (server.set_client_final if step else server.set_client_first)(said)
                told = server.get_server_final() if step else server.get_server_first()
            except ScramException:
                put(client, answer(version, serial, REFUSED, b""))
                raise
            put(client, answer(version, serial, 0, told.encode()))
            step += 1
        else:
            raise ScramException(f"request {api} before the login")


def hand_on(of, to):
    while data := of.recv(65536):
        to.sendall(data)
    to.close()


def serve(connection):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERT, KEY)
    with context.wrap_socket(connection, server_side=True) as client:
        broker = socket.create_connection(("127.0.0.1", int(BROKER)))
        login(client, broker)
        threading.Thread(target=hand_on, args=(broker, client), daemon=True).start()
        hand_on(client, broker)


with socket.create_server(("127.0.0.1", int(PORT))) as door:
    while True:
        threading.Thread(target=serve, args=(door.accept()[0],), daemon=True).start()
