"""Networks as files for other programs: ONNX graphs that onnxruntime runs, checked against PyTorch.

A graph is written from the modules of a network, layer by layer, rather than traced: sizes stay free, and what is
written stays readable. `onnx_file.export_onnx` is the way in.
"""
