#!/usr/bin/env bash
# Everything that only a machine with a CUDA device can tell, in steps that each have a limit.
#
#     profiling/gpu_session.sh                 all steps, in this order, in half an hour at most
#     profiling/gpu_session.sh check           a group of steps, for a machine that ends commands after 600 s
#     profiling/gpu_session.sh smoke bench     these steps
#
#   smoke      libraries, one cubin, one launch, one result; if it fails, nothing else is tried
#   info       device, driver, versions, gpuconv info
#   compile    every kernel for this device, on all cores
#   layouts    the PTX executor's model of each instruction against the device         -> layouts.json
#   tests      every test that needs a device; if all were skipped, it fails           -> tests.txt
#   verify     gpuconv verify, each algorithm in a process of its own                  -> verify.txt
#   memcheck   compute-sanitizer over gpuconv verify, all algorithms at once, likewise -> memcheck-<name>.txt
#   racecheck
#   initcheck
#   synccheck
#   bench      the benchmark beside PyTorch (cuDNN) in one process                     -> <device>-<date>.json
#   ncu        Nsight Compute on the main kernels                                      -> ncu.csv, ncu.txt
#   latency    what a call costs the host, beside PyTorch                              -> latency.json
#
# The groups, each of which ends within 580 s:
#
#   check      smoke info compile layouts tests
#   sanitize   smoke compile verify memcheck racecheck initcheck synccheck
#   measure    smoke compile bench ncu latency
#
# A step that fails does not stop the next. A step may take its own limit or what is left of the total,
# whichever is less. What the steps print goes to session.txt, with a summary, one line a step, at its end. The
# exit code is 0 if all succeeded, 1 if one failed, 2 if nothing could be run.
#
#   OUT                where the results go (profiling/results/gpu-<date>)
#   PYTHON             the Python to use (python3, else python)
#   WHEELS             a folder of wheels to install first, without a network, into that Python's environment:
#                      the CUDA libraries among them are found nowhere else
#   GPUCONV_CACHE_DIR  compiled kernels brought along
#   TOTAL_SECONDS      the limit of all steps together (1740; 570 for one group)
#   STEP_SECONDS       the limit of each step (its own)

set -u

STEPS=(smoke info compile layouts tests verify memcheck racecheck initcheck synccheck bench ncu latency)
declare -A GROUPS_OF=(
  [check]="smoke info compile layouts tests"
  [sanitize]="smoke compile verify memcheck racecheck initcheck synccheck"
  [measure]="smoke compile bench ncu latency"
)
declare -A LIMITS=(
  [wheels]=120 [info]=20 [smoke]=40 [compile]=100 [layouts]=60 [tests]=340 [verify]=150
  [memcheck]=70 [racecheck]=70 [initcheck]=70 [synccheck]=70 [bench]=280 [ncu]=100 [latency]=50
)
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
# Newer bindings ask a driver for functions that it may lack, which would be reported as errors.
SANITIZER_FLAGS=(--error-exitcode 1 --report-api-errors no --print-limit 20)

# CuPy's pool would hide an access beyond an array from memcheck, and stale values from initcheck.
VERIFY='import cupy, sys; from gpuconv.cli import main
cupy.cuda.set_allocator(None)
sys.exit(main(["verify", "--device", "cuda", "--algorithm", sys.argv[1]]))'
ALGORITHMS='from gpuconv import cuda
print(*(each.name for listed in cuda.ALGORITHMS.values() for each in listed))'
ARCHITECTURE='from gpuconv.cuda.runtime.gpu import gpu; print(gpu(0).arch)'

usage() { sed -n '2,/^$/{s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; }

# Runs a command while there is time. Python ends in order on an interrupt, keeping its results.
limited() { timeout --signal=INT --kill-after=10 "$(remaining)" "$@"; }

# Seconds that the step may still take: of its own limit or of the total, whichever is less.
left() {
  local own=$((step_end - SECONDS)) all=$((session_end - SECONDS))
  echo $((own < all ? own : all))
}

# The same for `timeout`, to which 0 is no limit.
remaining() {
  local seconds
  seconds=$(left)
  echo $((seconds > 1 ? seconds : 1))
}

run_wheels() { limited "$python" -m pip install --no-index --no-deps --upgrade "$WHEELS"/*.whl; }

run_info() {
  limited nvidia-smi || return
  limited "$python" -m gpuconv info || return
  limited "$python" -m pip list
}

run_smoke() {
  PATH=$PATH:/usr/sbin:/sbin ldconfig -p 2>/dev/null | grep -E 'lib(cuda|nvvm|nvrtc|nvJitLink|nvptxcompiler|cudart)\b'
  limited "$python" -m profiling.device.smoke
}

run_compile() {
  local architecture
  architecture=$(limited "$python" -c "$ARCHITECTURE") || return
  limited "$python" -m gpuconv compile --arch "$architecture"
}

run_layouts() { limited "$python" -m profiling.device.layouts --out "$OUT/layouts.json"; }

# After an error that a device cannot recover from, all later tests fail too: few are shown.
run_tests() {
  limited "$python" -m pytest -q -m gpu --continue-on-collection-errors --maxfail=20 --tb=short tests |
    tee "$OUT/tests.txt" || return
  if ! grep -Eq '\b[1-9][0-9]* passed\b' "$OUT/tests.txt"; then
    echo "no test has passed: all were skipped, or none was found"
    return 5
  fi
}

run_verify() {
  limited "$python" -m gpuconv verify --device cuda --isolate | tee "$OUT/verify.txt"
}

# Each algorithm in a process of its own, all at once: most of their time is the start of Python. What each has
# printed is shown when it has ended, so that reports stand below the algorithm that they are about.
sanitize() {
  local tool=$1 names name status=0 failed pids=()
  names=$(limited "$python" -c "$ALGORITHMS") || return
  for name in $names; do
    timeout --kill-after=5 "$(remaining)" compute-sanitizer --tool "$tool" "${SANITIZER_FLAGS[@]}" \
      "$python" -c "$VERIFY" "$name" >"$OUT/$tool-$name.txt" 2>&1 &
    pids+=($!)
  done
  for name in $names; do
    failed=0
    wait "${pids[0]}" || failed=$?
    pids=("${pids[@]:1}")
    cat -- "$OUT/$tool-$name.txt"
    echo "$tool $name: exit $failed"
    ((failed == 0)) || status=$failed
  done
  return "$status"
}

run_memcheck() { sanitize memcheck; }
run_racecheck() { sanitize racecheck; }
run_initcheck() { sanitize initcheck; }
run_synccheck() { sanitize synccheck; }

run_bench() { limited "$python" -m profiling.bench --device cuda --no-plot --out "$OUT"; }

# Rows of ncu.csv are in the order of the lines of ncu.txt, one a kernel.
run_ncu() {
  local metrics
  metrics=$(IFS=,; echo "${METRICS[*]}")
  limited ncu --clock-control none --csv --page raw --metrics "$metrics" --kernel-name-base mangled \
    --kernel-name regex:gpuconv --force-overwrite --log-file "$OUT/ncu.csv" \
    "$python" -m profiling.bench.ncu | tee "$OUT/ncu.txt"
}

run_latency() { limited "$python" -m profiling.latency --out "$OUT/latency.json"; }

# Adds a line to the summary: a step, its seconds, its outcome.
note() {
  summary+=("$(printf '%-10s %5d s  %s' "$1" "$2" "$3")")
  [[ $3 == ok ]] || failures=$((failures + 1))
}

# Runs one step, unless there is no time for it.
step() {
  local name=$1 status=0 outcome limit=${STEP_SECONDS:-${LIMITS[$1]}} begun=$SECONDS
  step_end=$((begun + limit))
  if (($(left) < 1)); then
    note "$name" 0 "not run: no time left"
    return 1
  fi
  echo
  echo "== $name"
  limit=$(remaining)
  "run_$name" || status=$?
  case $status in
    0) outcome=ok ;;
    124 | 137) outcome="FAILED: over $limit s" ;;
    127) outcome="FAILED: a program is missing" ;;
    *) outcome="FAILED: exit $status" ;;
  esac
  note "$name" $((SECONDS - begun)) "$outcome"
  return "$status"
}

main() {
  local name hopeless=
  [[ -z ${WHEELS:-} ]] || step wheels
  for name in "$@"; do
    if [[ -n $hopeless ]]; then
      note "$name" 0 "not run: smoke failed"
    elif ! step "$name" && [[ $name == smoke ]]; then
      hopeless=yes
    fi
  done
  echo
  echo "== summary, $(date -u +%FT%TZ)"
  printf '%s\n' "${summary[@]}"
  return $((failures > 0))
}

asked=()
for name in "$@"; do
  if [[ $name == -h || $name == --help ]]; then
    usage
    exit 0
  elif [[ -n ${GROUPS_OF[$name]:-} ]]; then
    (($# > 1)) || TOTAL_SECONDS=${TOTAL_SECONDS:-570}
    read -ra members <<<"${GROUPS_OF[$name]}"
    asked+=("${members[@]}")
  elif [[ " ${STEPS[*]} " == *" $name "* ]]; then
    asked+=("$name")
  else
    echo "no step '$name'; there are ${STEPS[*]}, and the groups check, sanitize and measure" >&2
    exit 2
  fi
done
((${#asked[@]})) || asked=("${STEPS[@]}")

if ! nvidia-smi -L 2>/dev/null | grep -q GPU; then
  echo "no CUDA device: nvidia-smi is missing or lists none" >&2
  exit 2
fi
root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd) || exit 2
OUT=${OUT:-$root/profiling/results/gpu-$(date -u +%F)}
mkdir -p -- "$OUT" || exit 2
OUT=$(cd -- "$OUT" && pwd) || exit 2
[[ -z ${WHEELS:-} ]] || WHEELS=$(cd -- "$WHEELS" && pwd) || exit 2
if [[ -n ${GPUCONV_CACHE_DIR:-} ]]; then
  mkdir -p -- "$GPUCONV_CACHE_DIR" || exit 2
  GPUCONV_CACHE_DIR=$(cd -- "$GPUCONV_CACHE_DIR" && pwd) || exit 2
  export GPUCONV_CACHE_DIR
fi
cd -- "$root" || exit 2

python=${PYTHON:-$(command -v python3 || command -v python)}
export PYTHONUNBUFFERED=1

summary=()
failures=0
step_end=$SECONDS
session_end=$((SECONDS + ${TOTAL_SECONDS:-1740}))
set -o pipefail
main "${asked[@]}" 2>&1 | tee "$OUT/session.txt"
