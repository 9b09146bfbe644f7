#!/usr/bin/env bash
# Trains semidepth-small, the model that comes with the package: a teacher on labels, then a student on labels and photos.
#
#     DATA=data bash training/recipes/semidepth_small.sh
#
# DATA has nyu_train-*.parquet and nyu_val.parquet: the 795 labeled training frames of NYU Depth v2 in their order, 80 of
# them (8 blocks of 10) for validation, the 4 frames on either side of a block left out, 651 for training. photos/ and
# photos_more/ have 1719 photos without labels. An hour and a half on one CPU core without bfloat16.
set -euo pipefail
: "${DATA:?name the folder with the data, such as DATA=data}"
encoder=${ENCODER:-facebook/dinov2-small}
runs=${RUNS:-outputs/semidepth-small}
labeled=("$DATA/nyu_train-*.parquet" 'scenes:outdoor?count=160' 'scenes:indoor?count=80')
common=(--validation "$DATA/nyu_val.parquet" --validation_images 80 --gradient_matching_weight 1 --decoder_lr_factor 15
    --mixed_precision auto)

# 1. The teacher learns from real rooms, rendered streets and rendered rooms; the whole encoder learns along.
semidepth train teacher --encoder "$encoder" --size 224 --labeled "${labeled[@]}" "${common[@]}" \
    --steps 440 --batch_size 8 --learning_rate 2e-5 --warmup_steps 50 --output_dir "$runs/teacher"

# 2. The student goes on from it at a larger size, half of each batch photos with its labels. The paper's student starts
#    from the encoder instead, and needs a longer training than was at hand here.
semidepth train student --start "$runs/teacher" --teacher "$runs/teacher" --size 280 --labeled "${labeled[@]}" \
    --unlabeled "$DATA/photos/*.parquet" "$DATA/photos_more/*.parquet" "${common[@]}" --feature_alignment false \
    --steps 100 --batch_size 4 --unlabeled_per_labeled 1 --learning_rate 1.5e-5 --warmup_steps 10 \
    --output_dir "$runs/student"

# 3. What is shipped: weights in bfloat16, card, code for plain transformers.
semidepth publish "$runs/student" --to_folder "$runs/semidepth-small" --dtype bfloat16 --license cc-by-nc-4.0
