#!/usr/bin/env bash
# minuend beside PyTorch on one CUDA device, in one go: attention, decode attention, whole models.
# Figures go to standard output, a line of JSON each.
#
#   cargo build --release && benches/anchors/compare.sh [attention|decode|model ...]
#
# VARIANT chooses minuend's family of kernels.
set -euo pipefail
cd "$(dirname "$0")/../.."
minuend=${MINUEND:-target/release/minuend}

one() { "$minuend" bench --device cuda ${VARIANT:+--variant "$VARIANT"} --json "$@"; }

attention() {
    for shape in "16 4 128" "32 8 64" "8 4 256"; do
        read -r pairs kv_heads width <<<"$shape"
        for tokens in 1024 2048 4096 8192 16384 32768; do
            batch=$((tokens < 16384 ? 16384 / tokens : 1))
            one --attention --dtype bf16 --batch "$batch" --pairs "$pairs" --kv-heads "$kv_heads" \
                --tokens "$tokens" --head-dim "$width"
        done
    done
    for tokens in 4096 16384; do
        one --attention --full --dtype bf16 --batch $((16384 / tokens)) --pairs 16 --kv-heads 4 \
            --tokens "$tokens" --head-dim 128
    done
    python3 benches/anchors/attention.py prefill
}

decode() {
    for size in "1 1024" "1 2048" "1 8192" "1 65536" "1 131072" "8 8192" "32 8192" "16 32768"; do
        read -r batch keys <<<"$size"
        queries=(1)
        [ "$keys" -eq 8192 ] && queries=(1 2 4 8)
        for tokens in "${queries[@]}"; do
            one --attention --dtype bf16 --batch "$batch" --pairs 32 --kv-heads 8 --tokens "$tokens" \
                --past $((keys - tokens)) --head-dim 128
        done
    done
    python3 benches/anchors/attention.py decode
}

model() {
    for name in 1b 8b; do
        config=examples/configs/diffv2-$name.json
        for batch in 1 16; do
            one --config "$config" --random-weights --batch "$batch" --prompt-tokens 2016 --new-tokens 64 --repeats 3
        done
        one --config "$config" --random-weights --prompt-tokens 4096 --new-tokens 1 --repeats 5
    done
    python3 benches/anchors/model.py
}

for part in "${@:-attention decode model}"; do
    for name in $part; do "$name"; done
done
