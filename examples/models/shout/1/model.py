"""Sample model whose package comes from its own execution environment."""

import numpy
import shouting
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """Answers the text that it was given, louder."""

    def execute(self, requests):
        """Answer each call."""
        return [_answer(request) for request in requests]


def _answer(request):
    texts = pb_utils.get_input_tensor_by_name(request, "INPUT0").as_numpy()
    louder = [shouting.shout(text.decode()).encode() for text in texts]
    output = pb_utils.Tensor("OUTPUT0", numpy.array(louder, dtype=object))
    return pb_utils.InferenceResponse([output])
