#!/usr/bin/env bash
# Everything that only a machine with a CUDA device can tell, in steps of less than nine minutes each.
#
#     profiling/gpu_session.sh                 all steps, in this order
#     profiling/gpu_session.sh tests bench     these
#
#   info       device, driver, versions, gpuconv info
#   layouts    the PTX executor's model of each instruction against the device         -> layouts.json
#   tests      every test that needs a device, and gpuconv verify
#   sanitizer  compute-sanitizer: memcheck, racecheck, initcheck, synccheck over gpuconv verify
#   bench      the benchmark beside PyTorch (cuDNN) in one process                     -> <device>-<date>.json
#   ncu        Nsight Compute on the main kernels                                      -> ncu.csv
#   latency    what a call costs the host, beside PyTorch                              -> latency.json
#
# A step that fails does not stop the next. What the steps print goes to session.txt, with a summary, one line
# a step, at its end. The exit code is 0 if all succeeded, 1 if one failed, 2 if nothing could be run.
#
#   OUT                where the results go (profiling/results/gpu-<date>)
#   PYTHON             the Python to use (python, else python3)
#   WHEELS             a folder of wheels to install first, without a network, into that Python's environment:
#                      the CUDA libraries among them are found nowhere else
#   GPUCONV_CACHE_DIR  compiled kernels brought along
#   STEP_SECONDS       the limit of a step (530)

set -u

STEPS=(info layouts tests sanitizer bench ncu latency)
STEP_SECONDS=${STEP_SECONDS:-530}
SANITIZERS=(memcheck racecheck initcheck synccheck)
METRICS=(
  gpu__time_duration.sum
  sm__throughput.avg.pct_of_peak_sustained_elapsed
  dram__throughput.avg.pct_of_peak_sustained_elapsed
  lts__t_sectors_op_read.sum
  sm__warps_active.avg.pct_of_peak_sustained_active
  sm__inst_executed_pipe_fma.avg.pct_of_peak_sustained_active
  sm__inst_executed_pipe_tensor.avg.pct_of_peak_sustained_active
  l1tex__data_pipe_lsu_wavefronts_mem_shared.sum
  l1tex__data_bank_conflicts_pipe_lsu_mem_shared_op_ld.sum
  l1tex__data_bank_conflicts_pipe_lsu_mem_shared_op_st.sum
  launch__registers_per_thread
  launch__shared_mem_per_block
  launch__occupancy_limit_registers
)

# CuPy's pool would hide an access beyond an array from memcheck, and stale values from initcheck.
VERIFY='import cupy, sys; from gpuconv.cli import main
cupy.cuda.set_allocator(None)
sys.exit(main(["verify", "--device", "cuda"]))'

usage() { sed -n '2,/^$/{s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; }

# Runs a command for at most so many seconds. Python ends in order on an interrupt, keeping its results.
within() {
  local seconds=$1
  shift
  timeout --signal=INT --kill-after=10 $((seconds > 1 ? seconds : 1)) "$@"
}

remaining() { echo $((STEP_SECONDS - (SECONDS - step_start))); }

limited() { within "$(remaining)" "$@"; }

run_info() {
  limited nvidia-smi || return
  limited "$python" -m gpuconv info || return
  limited "$python" -m pip list
}

run_layouts() { limited "$python" -m profiling.device.layouts --out "$OUT/layouts.json"; }

run_tests() {
  local status=0
  limited "$python" -m pytest -q -m gpu --continue-on-collection-errors tests || status=$?
  limited "$python" -m gpuconv verify --device cuda || status=$?
  return "$status"
}

run_sanitizer() {
  local tool status=0 failed left=${#SANITIZERS[@]}
  for tool in "${SANITIZERS[@]}"; do
    failed=0
    within $(($(remaining) / left)) \
      compute-sanitizer --tool "$tool" --error-exitcode 1 "$python" -c "$VERIFY" || failed=$?
    echo "$tool: exit $failed"
    ((failed == 0)) || status=$failed
    left=$((left - 1))
  done
  return "$status"
}

run_bench() { limited "$python" -m profiling.bench --device cuda --no-plot --out "$OUT"; }

run_ncu() {
  local metrics
  metrics=$(IFS=,; echo "${METRICS[*]}")
  limited ncu --clock-control none --csv --page raw --metrics "$metrics" --kernel-name-base mangled \
    --kernel-name regex:gpuconv --force-overwrite --log-file "$OUT/ncu.csv" "$python" -m profiling.bench.ncu
}

run_latency() { limited "$python" -m profiling.latency --out "$OUT/latency.json"; }

run_wheels() {
  limited "$python" -m pip install --no-index --no-deps --upgrade "$WHEELS"/*.whl
}

# Runs one step, and adds its line to the summary.
step() {
  local name=$1 status=0 outcome
  step_start=$SECONDS
  echo
  echo "== $name"
  "run_$name" || status=$?
  case $status in
    0) outcome=ok ;;
    124 | 137) outcome="FAILED: over $STEP_SECONDS s" ;;
    127) outcome="FAILED: a program is missing" ;;
    *) outcome="FAILED: exit $status" ;;
  esac
  summary+=("$(printf '%-10s %5d s  %s' "$name" $((SECONDS - step_start)) "$outcome")")
  ((status == 0)) || failures=$((failures + 1))
}

main() {
  local name
  [[ -z ${WHEELS:-} ]] || step wheels
  for name in "$@"; do
    step "$name"
  done
  echo
  echo "== summary, $(date -u +%FT%TZ)"
  printf '%s\n' "${summary[@]}"
  return $((failures > 0))
}

for name in "$@"; do
  case $name in
    -h | --help)
      usage
      exit 0
      ;;
  esac
  if [[ " ${STEPS[*]} " != *" $name "* ]]; then
    echo "no step '$name'; there are ${STEPS[*]}" >&2
    exit 2
  fi
done

if ! nvidia-smi -L 2>/dev/null | grep -q GPU; then
  echo "no CUDA device: nvidia-smi is missing or lists none" >&2
  exit 2
fi
root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd) || exit 2
OUT=${OUT:-$root/profiling/results/gpu-$(date -u +%F)}
mkdir -p -- "$OUT" || exit 2
OUT=$(cd -- "$OUT" && pwd) || exit 2
[[ -z ${WHEELS:-} ]] || WHEELS=$(cd -- "$WHEELS" && pwd) || exit 2
cd -- "$root" || exit 2

python=${PYTHON:-$(command -v python || command -v python3)}
export PYTHONUNBUFFERED=1

summary=()
failures=0
step_start=$SECONDS
(($#)) || set -- "${STEPS[@]}"
set -o pipefail
main "$@" 2>&1 | tee "$OUT/session.txt"
