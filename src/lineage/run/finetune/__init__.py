"""The override finetune=FOLDER: the choices of a training on images of one's own.

layout      the files of a folder -> the dataset option and its keys
coco_files  the annotation files of a folder, each with its split
facts       the dataset, opened -> numbers of images, sizes, masks, keypoints
weights     the published weights that this machine has, or can fetch
anchors     the boxes of the data -> sizes and shapes of anchors
plan        facts -> choices, each with its reason
expand      the command -> the command with the choices, which a rerun and a resumed run repeat
"""
