"""llama.cpp's own server, over a small model with random weights that is made here: no download.

usage: llama.py MODEL.gguf PORT. Needs xllamacpp, gguf and numpy. The model is made if it is not there. It speaks no sense, but
its token streams, its prefilled assistant messages and its grammars are the real ones. Large enough to be slow: some hundred
tokens a second, so that there is time to kill it.
"""
import os
import sys
import time

WIDTH, LAYERS, HEADS, HIDDEN, CONTEXT = 384, 8, 6, 1536, 8192
CHAT_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CONTROL = ["<|bos|>", "<|eos|>", "<|im_start|>", "<|im_end|>"]


def vocabulary():
    """GPT-2's names of the 256 bytes, and a few merges, so that pieces of text are longer and shorter than a character."""
    named = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in named]
    names = {byte: chr(byte) for byte in named} | {byte: chr(256 + place) for place, byte in enumerate(rest)}
    tokens, merges = [names[byte] for byte in range(256)], []

    def merge(left, right):
        if left + right not in tokens:
            merges.append(f"{left} {right}")
            tokens.append(left + right)

    for word in ["the", "and", "ing", "er", "on", "es"]:
        for end in range(1, len(word)):
            merge(word[:end], word[end])
    for letter in "abcdefghijklmnopqrstuvwxyz":
        merge(names[32], letter)
    return tokens, merges


def make(path):
    import gguf
    import numpy

    random = numpy.random.default_rng(7)

    def weights(*shape, scale=0.1):
        return (random.standard_normal(shape) * scale).astype(numpy.float32)

    tokens, merges = vocabulary()
    types = [gguf.TokenType.NORMAL] * len(tokens) + [gguf.TokenType.CONTROL] * len(CONTROL)
    tokens += CONTROL
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(len(tokens))
    writer.add_file_type(0)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(tokens.index("<|bos|>"))
    writer.add_eos_token_id(tokens.index("<|eos|>"))
    writer.add_add_bos_token(True)
    writer.add_chat_template(CHAT_TEMPLATE)
    writer.add_tensor("token_embd.weight", weights(len(tokens), WIDTH, scale=1.0))
    writer.add_tensor("output_norm.weight", numpy.ones(WIDTH, numpy.float32))
    writer.add_tensor("output.weight", weights(len(tokens), WIDTH))
    for layer in range(LAYERS):
        for name in ["attn_q", "attn_k", "attn_v", "attn_output"]:
            writer.add_tensor(f"blk.{layer}.{name}.weight", weights(WIDTH, WIDTH))
        for name, shape in [("ffn_gate", (HIDDEN, WIDTH)), ("ffn_up", (HIDDEN, WIDTH)), ("ffn_down", (WIDTH, HIDDEN))]:
            writer.add_tensor(f"blk.{layer}.{name}.weight", weights(*shape))
        for name in ["attn_norm", "ffn_norm"]:
            writer.add_tensor(f"blk.{layer}.{name}.weight", numpy.ones(WIDTH, numpy.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def serve(path, port):
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = path
    params.hostnames = ["127.0.0.1"]
    params.port = port
    params.n_ctx = CONTEXT
    params.n_parallel = 2
    params.cpuparams.n_threads = 1
    params.offline = True
    params.warmup = False
    server = xllamacpp.Server(params)
    print("listening", server.listening_address, flush=True)
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    model = sys.argv[1]
    if not os.path.exists(model):
        make(model)
    serve(model, int(sys.argv[2]))
