"""Chains of small operations as one Triton kernel each; the plain torch forms stay where they are called from.

On CUDA each small operation costs a launch: a step of Mask R-CNN had 2,000 of them. Tests run every kernel on the CPU
through Triton's interpreter and compare it with the plain form.
"""
