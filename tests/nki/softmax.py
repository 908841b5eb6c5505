import nki
import nki.language as nl
import nki.isa as nisa


@nki.jit
def softmax(x):
    R, C = x.shape
    y = nl.ndarray((R, C), dtype=x.dtype, buffer=nl.shared_hbm)
    for ro in range(0, R, 128):
        rt = min(128, R - ro)
        t = nl.ndarray((rt, C), dtype=nl.float32, buffer=nl.sbuf)
        nisa.dma_copy(dst=t, src=x[ro:ro+rt, :])
        top = nl.ndarray((rt, 1), dtype=nl.float32, buffer=nl.sbuf)
        nisa.tensor_reduce(dst=top, op=nl.maximum, data=t, axis=1, negate=True)
        e = nl.ndarray((rt, C), dtype=nl.float32, buffer=nl.sbuf)
        total = nl.ndarray((rt, 1), dtype=nl.float32, buffer=nl.sbuf)
        nisa.activation(dst=e, op=nl.exp, data=t, bias=top, reduce_op=nl.add, reduce_res=total,
                        reduce_cmd=nisa.reduce_cmd.reset_reduce)
        inverse = nl.ndarray((rt, 1), dtype=nl.float32, buffer=nl.sbuf)
        nisa.reciprocal(dst=inverse, data=total)
        o = nl.ndarray((rt, C), dtype=x.dtype, buffer=nl.sbuf)
        nisa.tensor_scalar(dst=o, data=e, op0=nl.multiply, operand0=inverse)
        nisa.dma_copy(dst=y[ro:ro+rt, :], src=o)
    return y
