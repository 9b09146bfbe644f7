#!/usr/bin/env bash
# Trains semidepth-small, the model that comes with the package: a teacher on labels, then two students on labels and
# photos, then metric heads and a mask decoder on the second.
#
#     DATA=data bash training/recipes/semidepth_small.sh
#
# DATA has nyu_train-*.parquet and nyu_val.parquet: the 795 labeled training frames of NYU Depth v2 in their order, 80 of
# them (8 blocks of 10) for validation, the 4 frames on either side of a block left out, 651 for training. photos/ and
# photos_more/ have 1719 photos without labels. sorted/indoor/ and sorted/outdoor/ have 55 and 121 of them, sorted by
# hand, for the router. In the root of a clone; three hours on 2 CPU cores with bfloat16, a process of one thread on each.
set -euo pipefail
: "${DATA:?name the folder with the data, such as DATA=data}"
encoder=${ENCODER:-facebook/dinov2-small}
runs=${RUNS:-outputs/semidepth-small}
export OMP_NUM_THREADS=1
# Behind -- torchrun takes no option for its own, such as --start.
train=(torchrun --nproc_per_node 2 --)
labeled=("$DATA/nyu_train-*.parquet" 'scenes:outdoor?count=160' 'scenes:indoor?count=80')
common=(--mixed_precision auto --num_workers 1)
relative=(--validation "$DATA/nyu_val.parquet" --validation_images 80 --labeled "${labeled[@]}" --decoder_lr_factor 15
    --labeled_smallest_crop 0.6 "${common[@]}")

# 1. The teacher learns from real rooms, rendered streets and rendered rooms; the whole encoder learns along. Without
#    gradient matching: over so short a training it made outlines soft.
"${train[@]}" training/teacher.py --encoder "$encoder" --size 280 --losses v1 "${relative[@]}" \
    --steps 900 --batch_size 4 --learning_rate 3e-5 --warmup_steps 60 --validate_every 150 --output_dir "$runs/teacher"

# 2. The student goes on from it at a larger size, half of each batch photos with its labels. The paper's student starts
#    from the encoder instead, and needs a longer training than was at hand here.
student=(--size 336 "${relative[@]}" --unlabeled "$DATA/photos/*.parquet" "$DATA/photos_more/*.parquet"
    --smallest_crop 0.6 --unlabeled_per_labeled 1 --losses v1+local_4+local_16 --feature_alignment false --batch_size 2
    --learning_rate 2e-5 --warmup_steps 30)
"${train[@]}" training/student.py --start "$runs/teacher" --teacher "$runs/teacher" "${student[@]}" \
    --steps 380 --validate_every 120 --output_dir "$runs/first_student"

# 3. The same once more, from the first student with its labels; labeled images are turned and have their colours changed,
#    as other cameras than NYU's would.
"${train[@]}" training/student.py --start "$runs/first_student" --teacher "$runs/first_student" "${student[@]}" \
    --labeled_rotation_deg 10 --labeled_jitter_strength 0.3 --steps 560 --validate_every 175 --output_dir "$runs/student"

# 4. Metres: a head for rooms, one for streets and a router learn on the student, which stays as it is. Rendered streets
#    are the only ones with depth here. Photos of real streets teach the router, or it would tell renderings from photos.
"${train[@]}" training/metric.py --student "$runs/student" --freeze_core true --size 336 \
    --train "indoor=$DATA/nyu_train-*.parquet" 'indoor=scenes:indoor?count=80' 'outdoor=scenes:outdoor?count=300' \
    --router_images "indoor=$DATA/sorted/indoor" "outdoor=$DATA/sorted/outdoor" --domains 'indoor?weight=2' outdoor \
    --validation "indoor=$DATA/nyu_val.parquet" --validation_images 80 "${common[@]}" --steps 700 --batch_size 3 \
    --learning_rate 3e-3 --router_lr_factor 0.07 --router_loss_weight 5 --max_grad_norm 1 --validate_every 175 \
    --output_dir "$runs/metric"

# 5. Masks: a decoder learns on the student, which stays as it is, from rendered scenes and from photos that are cut into
#    masks without labels. The photos stand twice, so that half of the crops are theirs. 475 photos
#    took an hour on a busy machine; 1,300 updates half an hour on a free core.
semidepth label-masks --teacher "$runs/student" --unlabeled "$DATA/photos_more/*.parquet" --size 392 \
    --output "$runs/mask_labels"
semidepth train masks --student "$runs/student" --size 224 --train "$runs/mask_labels?masks=masks" \
    "$runs/mask_labels/data?masks=masks" 'scenes:indoor?start=300000' 'scenes:outdoor?start=300000' \
    --cached_images 1200 --smallest_crop 0.5 --steps 1300 --hidden_size 128 --click_map true --box_prior true \
    --mask_loss bce --rounds 4 --random_rounds true --rounds_without_point 1 --box_share 0.3 --box_noise 0.05 \
    --from_mask_share 0.1 --batch_size 8 --objects 32 --learning_rate 1e-3 --weight_decay 0.01 --warmup_steps 50 \
    --num_workers 1 --output_dir "$runs/masks"

# 6. What is shipped: weights in bfloat16, card, code for plain transformers; heads in metres, the decoder in masks.
# Photos are predicted at 448 pixels: as good on the validation frames as at 336, and sharper. Metres are at 336.
sed -i 's/336/448/' "$runs/student/preprocessor_config.json"
semidepth publish "$runs/student" --heads "$runs/metric" --masks "$runs/masks" --to_folder "$runs/semidepth-small" --dtype bfloat16 \
    --license cc-by-nc-4.0
