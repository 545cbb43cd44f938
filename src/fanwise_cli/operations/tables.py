"""Operations by what they do: names of TensorFlow 2.21 (its registry of 1,908, gone through) and of LiteRT 2.3.

An operation that is not named here (of a custom library) is held to the trial alone (`fanwise_cli.trial`).
"""

import re

# What reads or writes files, talks to others, runs Python or ends the process. Tables read from asset files, and
# restored variables, are how a model is loaded, and no part of what it does to an item.
_OUTSIDE = re.compile(
    r"Abort|ReadFile|WriteFile|MatchingFiles|ImmutableConst|LoadAndRemapMatrix|RecordInput"
    r"|PyFunc|EagerPyFunc|PyFuncStateless"
    r"|Save(?:V2|Slices)?|Restore(?:V2|Slice)?|MergeV2Checkpoints|DistributedSave|DTensorRestoreV2"
    r"|CalibrationStatisticsSaver|DumpTensor|DebugIdentity(?:V2|V3)?|DebugNanCount|DebugNumericSummary(?:V2)?"
    r"|(?:WholeFile|TextLine|FixedLengthRecord|TFRecord|LMDB)Reader(?:V2)?|Reader(?:Read|ReadUpTo)(?:V2)?"
    r"|(?:Experimental)?(?:TextLine|TFRecord|FixedLengthRecord|CSV|LMDB|Sql|MatchingFiles|Save|Load|Snapshot"
    r"|SnapshotDatasetReader|Cache|Generator|DataService|AssertPrevTransformation)Dataset(?:V2|V3|V4)?"
    r"|ListSnapshotChunksDataset|(?:Experimental)?DatasetToTFRecord|RegisterDataset(?:V2)?"
    r"|CreateSummary(?:File|Db)Writer|(?:Flush|Close)SummaryWriter|Write\w*Summary|ImportEvent"
    r"|InitializeTableFromTextFile(?:V2)?|FileSystemSetConfiguration"
    r"|Rpc\w+|RemoteCall|_?(?:Host)?(?:Send|Recv)|Collective\w+"
)
_AT_LOAD = re.compile(r"Restore(?:V2|Slice)?|InitializeTableFromTextFile(?:V2)?")

# Variables that are written: what they were when the model was loaded can be put back.
_WRITES = re.compile(
    r"Assign(?:Add|Sub)?(?:VariableOp)?|AssignVariableXlaConcatND"
    r"|Resource(?:Sparse)?Apply\w+|ResourceScatter\w+|ResourceStridedSliceAssign|ResourceCountUpTo"
    r"|(?:Sparse)?Apply[A-Z]\w+|Scatter(?:Update|Add|Sub|Mul|Div|Min|Max|NdUpdate|NdAdd|NdSub|NdMin|NdMax)"
    r"|StridedSliceAssign|CountUpTo"
)
# What is kept elsewhere than in a variable, and cannot be put back.
_KEEPS = re.compile(
    r"LookupTable(?:Insert|Remove|Import)(?:V2)?|(?:Queue|Barrier)(?:Enqueue|Dequeue|Insert|Take|Close)\w*"
    r"|Barrier(?:InsertMany|TakeMany)|(?:Ordered)?Map(?:Stage|Unstage|UnstageNoKey|Clear)|Stage|Unstage|StageClear"
    r"|Iterator(?:V2)?|OneShotIterator|MultiDeviceIterator\w*|\w*Accumulator(?:Apply|Take)Gradient"
    r"|Add(?:Many)?SparseToTensorsMap|TakeManySparseFromTensorsMap|GetSessionHandle(?:V2)?"
    r"|BoostedTrees(?:Update|Create|Deserialize|Center|QuantileStreamResource(?:Add|Flush|Des))\w*"
)
# Another answer each time.
_RANDOM = re.compile(
    r"Random(?:Uniform|UniformInt|StandardNormal|Shuffle|Gamma|Poisson|PoissonV2|Crop)|(?:Parameterized)?TruncatedNormal"
    r"|Multinomial|Stateful(?:Uniform\w*|StandardNormal(?:V2)?|TruncatedNormal|RandomBinomial)|Rng(?:ReadAndSkip|Skip)"
    r"|NonDeterministicInts|\w+CandidateSampler|Skipgram|NegTrain|SampleDistortedBoundingBox(?:V2)?|Timestamp"
    r"|(?:Experimental)?RandomDataset(?:V2)?|Shuffle(?:AndRepeat)?Dataset(?:V2|V3)?|AnonymousRandomSeedGenerator"
)

# What only complains of values. LiteRT leaves it out, and would predict where TensorFlow refuses.
CHECKS = frozenset(("Assert", "CheckNumerics", "CheckNumericsV2"))
# The same, of shapes: it can complain only where the signature leaves sizes open.
SHAPE_CHECKS = frozenset(("EnsureShape",))

LITE_WRITES = frozenset(("ASSIGN_VARIABLE",))
LITE_KEEPS = frozenset(("HASHTABLE_IMPORT",))
LITE_RANDOM = frozenset(("RANDOM_UNIFORM", "RANDOM_STANDARD_NORMAL", "MULTINOMIAL"))


def reaches_outside(op: str, *, at_load: bool = False) -> bool:
    """Whether an operation touches files, processes, the network or Python; `at_load`: beyond loading."""
    return bool(_OUTSIDE.fullmatch(op)) and not (at_load and _AT_LOAD.fullmatch(op))


def writes_variable(op: str) -> bool:
    """Whether an operation changes a variable."""
    return bool(_WRITES.fullmatch(op))


def keeps(op: str) -> bool:
    """Whether an operation keeps something that cannot be reset."""
    return bool(_KEEPS.fullmatch(op))


def is_random(op: str) -> bool:
    """Whether an operation's result is another one each time."""
    return bool(_RANDOM.fullmatch(op))
