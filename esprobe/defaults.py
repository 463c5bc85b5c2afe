"""Default values of options, in one place: the command line, the engines, the workers and the jobs take theirs here.

It imports nothing, so that ``esprobe --help`` shows them without loading numpy or a model library.
"""

DATABASE = "esprobe.db"

# What is sampled.
MODEL = "Qwen/Qwen2.5-0.5B-Instruct"
ENGINE = "auto"
DTYPE = "auto"
TASK = "countdown"
SAMPLES = 1024
SEED = 42
MAX_TOKENS = 1024
TEMPERATURES = (0.4, 0.6, 0.8, 1.0)
TOP_P = 1.0
TOP_K = -1
SIGMAS = (0.001, 0.003, 0.005, 0.01)
NOISE = "iid"

# What is trained: the published ES code's values, but for the evaluation, which it does not have.
ES_SIGMA = 0.001
ES_ALPHA = 0.0005
ES_POPULATION = 30
ES_ITERATIONS = 500
ES_SHAPING = "zscore"
EVAL_EVERY = 10

# How an engine runs.
BATCH_SIZE = 64
MAX_NUM_SEQS = 512
GPU_MEMORY_UTILIZATION = 0.85
TENSOR_PARALLEL_SIZE = 1

# Which workers run engines.
WORKERS_PER_GPU = 1
STUCK_S = 600.0
LOADING_S = 3600.0

# A scan samples less.
SCAN_PROBLEMS = 64
SCAN_SAMPLES = 8
SCAN_POINTS = 8
SCAN_SIGMA_RANGE = "0.0003:0.02"
SCAN_TEMPERATURE_RANGE = "0.1:2"

# What a plan assumes and measures.
PLAN_WORKERS = 1
PROBE_PROBLEMS = 16
