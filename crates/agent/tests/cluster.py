"""A cluster of three brokers, librdkafka's own; lines on standard input say what becomes of it."""
import ctypes
import sys

PRODUCE, PRODUCER, BROKERS, PARTITIONS = 0, 0, 3, 5
library = ctypes.CDLL("librdkafka.so.1")
for name in ("rd_kafka_new", "rd_kafka_mock_cluster_new"):
    getattr(library, name).restype = ctypes.c_void_p
library.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
handle = ctypes.c_void_p(library.rd_kafka_new(PRODUCER, None, None, 0))
cluster = ctypes.c_void_p(library.rd_kafka_mock_cluster_new(handle, BROKERS))
assert library.rd_kafka_mock_topic_create(cluster, b"alerts", PARTITIONS, BROKERS) == 0
print(library.rd_kafka_mock_cluster_bootstraps(cluster).decode(), flush=True)
for line in sys.stdin:
    what, number = line.split()
    if what == "refuse":
        one = ctypes.c_size_t(1)
        library.rd_kafka_mock_push_request_errors(cluster, ctypes.c_int16(PRODUCE), one, int(number))
    elif what == "lead":
        for partition in range(PARTITIONS):
            assert library.rd_kafka_mock_partition_set_leader(cluster, b"alerts", partition, int(number)) == 0
    print("done", flush=True)
