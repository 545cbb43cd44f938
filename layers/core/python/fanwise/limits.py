"""The limits of a job, with their units and where each comes from."""

# What people give (CONTRACTS: items file, manifest).
MAX_LINE_BYTES = 8 * 1024 * 1024  # also what a Distributed Map reads of one item (input-output-itemreader)
MAX_NESTING = 64
MAX_CSV_HEADER_BYTES = 10 * 1024  # input-output-itemreader
# Of a CSV header, of model.json's `columns`, of the keys of an item and of its `inputs`. Each value is an object
# of 140 bytes until its item is predicted, and an entry of 256 items is held whole: 72 MB. More belongs in arrays.
MAX_COLUMNS = 2_000
MAX_MANIFEST_BYTES = 1024 * 1024  # also of model.json and of profile.json
MAX_LABELS_BYTES = 16 * 1024 * 1024  # of a file of labels; the 21,841 of ImageNet have 0.6 MB
MIN_BATCH_SIZE, MAX_BATCH_SIZE = 1, 100_000
MIN_CONCURRENCY, MAX_CONCURRENCY = 1, 10_000  # Step Functions' hard cap (state-map-distributed)
DEFAULT_CONCURRENCY = 1_000  # an account's default of concurrent invocations
DEFAULT_BATCH_SIZE = 256  # without a profile

# Images.
MAX_IMAGE_BYTES = 64 * 1024 * 1024
MAX_IMAGE_PIXELS = 64 * 1024 * 1024

# Values (numbers, texts, labels) that a prediction may hold. Of up to 25 bytes each, they are a line of less than
# MAX_LINE_BYTES, which everything that reads lines can read; in memory 10 MB an item, of which a mini-batch has up
# to 32.
MAX_RESULT_VALUES = 300_000

# One invocation.
VCPU_MB = 1769  # of memory make one vCPU (configuration-memory)
MIN_MEMORY_MB, MAX_MEMORY_MB = 1024, 10_240  # what template.yaml lets PredictBatch have
MAX_ENTRY_BYTES = (
    32 * 1024 * 1024
)  # of the items file, so that an entry fits in memory (one longer line aside)
MAX_PART_BYTES = (
    256 * 1024 * 1024
)  # of predictions and dead letters, before the rest is left to the next round
DEADLINE_RESERVE_S = 10.0  # kept free before the deadline, to write parts and commit
AFTER_LOAD_S = 3.0  # that must be left when the model is loaded, to try a mini-batch and commit it
MAX_REST_ENTRIES = 64  # that one invocation leaves over what it had no time for in
MAX_RECOMPUTED = 1000  # items of a job that are predicted again, each alone, in one invocation
PROBE_ITEMS = (
    8  # tried before the fan-out, drawn over the whole plan; and of each of as many ranges, the most
)
PROBE_ENTRIES = 20  # jobs of more entries are probed before the fan-out
PROBE_SUSPECTS = 5_000  # and jobs of so many items, whose items seem to lack an input
ALONE_ATTEMPT = 2  # from which an item whose object the store does not give is set apart from its neighbours
UNREADABLE_ATTEMPT = (
    3  # from which such an item, alone, is a dead letter: the store answers, but for its object
)
RAW_KEPT_BYTES = 64 * 1024  # of a line that is no JSON object, in its dead letter

# Rounds.
CUT_INTO = 4  # an entry whose invocation died is cut into so many
MAX_ROUNDS = 200  # about 12 of the 25,000 history events each (service-quotas)
MAX_STALLED_ROUNDS = 3  # rounds in a row that decided nothing, before what is left is `missing`
STALLED_WAIT_S = 30  # before an entry that was not tried is tried again; doubles


def decode_threads(memory_mb: int) -> int:
    """Threads that fetch and decode: enough to wait for the store in, few enough not to starve the model."""
    return 4 + 2 * max(1, round(memory_mb / VCPU_MB))
