"""Score models on labeled data and benchmark sets.

    semidepth score --model outputs/demo/student --data 'scenes:indoor?split=test&count=96'
    semidepth score --model outputs/demo/student depth-anything/Depth-Anything-V2-Small-hf \\
        --data 'frames/*.parquet' --max_depth_m 10 --output scores/
    semidepth score --model outputs/demo/metric --protocol none \\
        --data 'scenes:indoor?split=test&count=96' 'scenes:outdoor?split=test&count=96'
    torchrun --nproc_per_node 2 training/score.py --model Intel/zoedepth-nyu-kitti apple/DepthPro-hf outputs/metric \\
        --benchmark nyu kitti --root nyu=/data/nyu kitti=/data/kitti --output scores/
    semidepth score --masks --model outputs/masks --data 'photos/?masks=instances.json'
    semidepth score --four_m --model outputs/four_m --data 'scenes:indoor?style=wild&split=test&count=48'

Any depth-estimation model can be scored: ours, stock Depth Anything, ZoeDepth, Depth Pro, DPT, GLPN.

relative   Inverse depth, aligned to each label (--align: least_squares fits scale and shift in 1/m, median fits a
           scale, none does not align) and compared in depth and in disparity, because papers differ in that and seldom
           say so. --max_depth_m is the depth cap. Metric models can be scored in this way, too.
metric     Metres without alignment: cropped, averaged with the prediction of the mirrored image, resized to the label,
           and clamped to the range of --protocol. A routed model is also scored with each image's own domain given,
           and the router's choices are counted. The domain is the source's `domain=NAME`, its column `domain`, the
           benchmark's, or indoor / outdoor for scenes.
ordinal    Pairs of points (da2k): how often the nearer point is predicted nearer.

--mode auto is metric with --protocol, and for metric models on benchmarks; else relative. A benchmark brings its own
protocol and depth cap; --protocol and --max_depth_m override them.

masks      With --masks: a simulated annotator clicks at each object's centre, then at the centre of the largest error,
           and gives the box once. IoU by clicks, clicks needed, outlines, the predicted IoU against the true one; by
           area; beside superpixels, flood fill (both tuned on --tuned_on) and the filled box. Means over objects.

4M         With --four_m: every modality predicted in one step from every other, beside the typical map of all pictures
           and of the picture's domain (floors), another picture's input (control) and the tokenizer's round trip
           (ceiling); nats per true token. And depth completed from --known_pixels and the picture, beside filling in
           and a metric model scaled to these pixels.

Values of depth are means over images. --output FOLDER keeps each image's scores as soon as they are made: run the
same command again to resume. It ends with results.json, table.md, per_image.parquet and examples.png (with --masks:
per_object.parquet, no pictures, no resuming, one process). Several processes share the images.
"""

import sys

from semidepth.common.commands import Command
from semidepth.evaluation.options import ScoreOptions


def run(options: ScoreOptions) -> None:
    """Scores and prints the table."""
    if options.masks:
        from semidepth.evaluation.masks.score import score_masks  # takes seconds

        print(score_masks(options)["table"])
        return
    if options.four_m:
        from semidepth.evaluation.any_to_any.score import score_four_m  # takes seconds

        print(score_four_m(options)["table"])
        return
    import torch  # takes seconds

    from semidepth.evaluation.score import score

    results = score(options)
    if results:
        print(results["table"])
    if torch.distributed.is_initialized():  # if left to the end of the process, its threads may abort it
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()


COMMAND = Command("semidepth score", ScoreOptions, run, __doc__)
main = COMMAND.main

if __name__ == "__main__":
    sys.exit(main())
